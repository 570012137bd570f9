using System.Globalization;
using System.Runtime.InteropServices;
using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests;

/// <summary>What a decoder layer keeps for backward, weighed: whoever makes it keep one tensor more finds out here.</summary>
[Collection("Process memory")]
public sealed partial class SavedForBackwardTests
{
    private const int Batch = 4, Length = 512, Hidden = 256, Inner = 704;

    [Fact]
    public void A_layer_keeps_each_number_that_its_backward_needs_once()
    {
        // What was freed before may serve this measurement or be given back in the middle of it: the least of three is the nearest.
        var perToken = Enumerable.Range(0, 3).Min(_ => (Saved(layers: 5) - Saved(layers: 1)) / 4.0 / (Batch * Length));
        // float32: the input of both norms, and once more what libtorch's norm makes of it (our kernel, on a GPU, does without).
        // bfloat16: both norms' results, queries, keys, values and what attention returns; gate, up and their product; the weights.
        const double Needed = (2 * 2 * 4 * Hidden) + (2 * 2 * Hidden) + (4 * 2 * Hidden) + (3 * 2 * Inner)
            + (2.0 * ((4 * Hidden * Hidden) + (3 * Hidden * Inner)) / (Batch * Length));
        Assert.InRange(perToken, 0, 1.04 * Needed);
    }

    /// <summary>Bytes that are there after the forward and were not before, with gradients for all weights.</summary>
    private static long Saved(int layers)
    {
        using var scope = NewDisposeScope();
        using var model = new LlamaForCausalLM(new LlamaConfig
        {
            VocabSize = 64,
            HiddenSize = Hidden,
            IntermediateSize = Inner,
            NumHiddenLayers = layers,
            NumAttentionHeads = 4,
        });
        var tokens = zeros(Batch, Length, int64);
        // Once before: tables, scratch memory, compiled code.
        Forward().Dispose();
        var before = Resident();
        using var loss = Forward();
        var after = Resident();
        Assert.True(loss.requires_grad);
        return after - before;

        Tensor Forward()
        {
            using var inner = NewDisposeScope();
            using (Autocast.Enter(DeviceType.CPU, bfloat16))
                return model.call(new ModelInputs { InputIds = tokens, Labels = tokens }).Loss.MoveToOuterDisposeScope();
        }
    }

    /// <summary>Bytes in memory, after everything that is free has been given back.</summary>
    private static long Resident()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        _ = malloc_trim(0);
        var pages = File.ReadAllText("/proc/self/statm").Split(' ')[1];
        return long.Parse(pages, CultureInfo.InvariantCulture) * Environment.SystemPageSize;
    }

    [LibraryImport("libc")]
    private static partial int malloc_trim(nuint pad);
}

/// <summary>For tests that weigh the process: they run while no other test does.</summary>
[CollectionDefinition("Process memory", DisableParallelization = true)]
public sealed class ProcessMemory;

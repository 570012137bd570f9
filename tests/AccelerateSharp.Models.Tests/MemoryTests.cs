using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests;

/// <summary>Counts live tensors of the whole process, so it runs while no other test does.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class ProcessWideCounters
{
    public const string Name = "Process-wide counters";
}

[Collection(ProcessWideCounters.Name)]
public sealed class MemoryTests
{
    private static void Settle()
    {
        // What earlier tests dropped must not be finalised, and counted down, in between.
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }

    [Fact]
    public void Generation_leaves_nothing_behind_but_the_text()
    {
        using var model = new LlamaForCausalLM(DecoderTests.Tiny());
        using var prompt = randint(0, 97, [2, 4]);
        model.Generate(prompt, new() { MaxNewTokens = 40, DoSample = true, TopP = 0.9 }).Dispose();
        Settle();
        var before = Tensor.TotalCount;
        var perStep = new List<long>();
        model.Generate(prompt, new() { MaxNewTokens = 40, DoSample = true, TopP = 0.9, OnToken = _ => { perStep.Add(Tensor.TotalCount); return true; } }).Dispose();
        Assert.Equal(before, Tensor.TotalCount);
        Assert.Single(perStep.Skip(1).Distinct());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_step_leaves_neither_tensors_nor_nodes_also_without_a_backward_pass(bool backward)
    {
        using var model = new LlamaForCausalLM(DecoderTests.Tiny());
        using var tokens = randint(0, 97, [2, 9]);
        Step();
        Settle();
        var (tensors, nodes) = (Tensor.TotalCount, AutogradNode.Live);
        for (var i = 0; i < 5; i++) Step();
        Assert.Equal((tensors, nodes), (Tensor.TotalCount, AutogradNode.Live));

        void Step()
        {
            using var scope = NewDisposeScope();
            var loss = model.call(new() { InputIds = tokens, Labels = tokens }).Loss;
            if (backward) loss.backward();
            foreach (var parameter in model.parameters()) parameter.grad = null;
        }
    }

    [Fact]
    public void A_layer_holds_only_what_backward_needs()
    {
        // What lives after a forward: nothing of the layers but the inputs of each SwiGLU, and the loss with what waits for its backward.
        using var scope = NewDisposeScope();
        using var model = new LlamaForCausalLM(DecoderTests.Tiny() with { NumHiddenLayers = 6 });
        using var tokens = randint(0, 97, [2, 9]);
        model.call(tokens).Logits.Dispose();
        Settle();
        var before = Tensor.TotalCount;
        var logits = model.call(tokens).Logits;
        Assert.Equal(before + 1 + (2 * 6), Tensor.TotalCount);
        logits.Dispose();
        Assert.Equal(before, Tensor.TotalCount);
    }
}

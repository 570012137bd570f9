using TorchSharp;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>Lowers the limits of GPUs so that all of them get about the same share of a model.</summary>
internal static class BalancedMemory
{
    /// <summary>Of what is free on a single GPU, when no limit was given: the rest is for what the forward pass makes.</summary>
    private const double SingleGpuShare = 0.9;

    /// <summary>How much more than the largest block, or the mean layer, a GPU may take beyond its share.</summary>
    private const double Slack = 1.25;

    public static MaxMemory Compute(
        Module model, MaxMemory? given, IReadOnlySet<string> noSplit, torch.ScalarType? dtype, IReadOnlyDictionary<string, torch.ScalarType>? specialDtypes, bool lowZero)
    {
        var memory = AvailableMemory.Normalize(given);
        var gpus = memory.Gpus.Where(gpu => memory.Of(gpu) > 0).ToList();
        if (gpus.Count == 0) return memory;
        if (gpus.Count == 1)
        {
            lowZero = false;
            if (given is null) memory[gpus[0]] = (long)(memory.Of(gpus[0]) * SingleGpuShare);
        }
        var sizes = ModuleSizes.Of(model, dtype, specialDtypes);
        var share = sizes.Total / (lowZero ? gpus.Count - 1 : gpus.Count) + (long)(Slack * Math.Max(LargestBlock(model, sizes, noSplit), MeanLayer(sizes)));
        // The last GPU keeps all it has, in case the slack was too small.
        foreach (var gpu in gpus.SkipLast(1))
        {
            if (!lowZero || gpu != 0) memory[gpu] = Math.Min(share, memory.Of(gpu));
        }
        if (lowZero) memory[0] = Math.Min(Math.Max(0, sizes.Total - Enumerable.Range(1, gpus.Count - 1).Sum(i => memory.Of(i))), memory.Of(0));
        return memory;
    }

    /// <summary>The largest of the first blocks of each class that stays whole.</summary>
    private static long LargestBlock(Module model, ModuleSizes sizes, IReadOnlySet<string> noSplit)
    {
        var blocks = new Dictionary<string, long>();
        foreach (var (name, module) in ModelTensors.Modules(model))
        {
            if (name.Length == 0 || !noSplit.Contains(ModelTensors.ClassName(module))) continue;
            blocks.TryAdd(ModelTensors.ClassName(module), sizes[name]);
            if (blocks.Count == noSplit.Count) break;
        }
        return blocks.Values.DefaultIfEmpty().Max();
    }

    private static long MeanLayer(ModuleSizes sizes)
    {
        var tensors = ModuleSizes.Leaves([.. sizes.All.Keys]).ToHashSet();
        var modules = ModuleSizes.Leaves([.. sizes.All.Keys.Where(name => !tensors.Contains(name))]);
        return modules.Sum(name => sizes[name]) / Math.Max(modules.Count, 1);
    }
}

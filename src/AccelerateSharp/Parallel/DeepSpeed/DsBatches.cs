using System.Collections;
using System.Globalization;
using System.Reflection;
using AccelerateSharp.Data;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel.DeepSpeed;

/// <summary>Fills what only prepared objects tell: the batch sizes from loaders, the sizes of buckets from a model.</summary>
internal sealed class DsBatches
{
    private const string Train = "train_batch_size";
    private const string Micro = "train_micro_batch_size_per_gpu";
    private const string Zero = "zero_optimization.";

    private readonly DsConfig _config;
    private readonly bool _smallest;
    private readonly int _worldSize;
    private readonly bool _microIsOpen;
    private readonly bool _trainIsOpen;
    private readonly List<int> _sizes = [];

    /// <param name="config">The configuration to fill.</param>
    /// <param name="smallest">Whether the smallest batch size of several loaders counts; else the largest.</param>
    /// <param name="worldSize">Number of processes.</param>
    public DsBatches(DsConfig config, bool smallest, int worldSize)
    {
        (_config, _smallest, _worldSize) = (config, smallest, worldSize);
        _microIsOpen = config.Whole(Micro) is null;
        _trainIsOpen = config.Whole(Train) is null;
    }

    /// <summary>Takes a loader's batch size for the micro-batch, where that is open.</summary>
    /// <param name="share">What one process gets of a batch; null where the loader does not say.</param>
    /// <exception cref="ArgumentException">The configuration says another global batch.</exception>
    public void Take(int? share)
    {
        if (!_microIsOpen || share is not { } size) return;
        _sizes.Add(size);
        _config.Set(Micro, _smallest ? _sizes.Min() : _sizes.Max());
        if (_trainIsOpen) _config.Set(Train, DsConfig.Auto);
        var problems = new List<string>();
        Settle(_config, _worldSize, problems);
        DsConfig.Throw(problems, _config.Source);
    }

    /// <summary>Checks, or fills, train_batch_size = micro-batch × accumulation × processes.</summary>
    public static void Settle(DsConfig config, int worldSize, List<string> problems)
    {
        if (config.Whole(Micro) is not { } micro || config.Whole("gradient_accumulation_steps") is not { } steps) return;
        var product = micro * steps * worldSize;
        if (config.Whole(Train) is not { } train) config.Set(Train, product);
        else if (train != product)
            problems.Add($"{Train} is {train}, but {Micro} {micro} × gradient_accumulation_steps {steps} × {worldSize} processes are {product}.");
    }

    /// <summary>The rules of buckets for a hidden size of h: h², 0.9 h² and 10 h.</summary>
    public static void TakeHiddenSize(DsConfig config, long hidden)
    {
        config.Fill(Zero + "reduce_bucket_size", hidden * hidden);
        config.Fill(Zero + "stage3_prefetch_bucket_size", (long)(0.9 * hidden * hidden));
        config.Fill(Zero + "stage3_param_persistence_threshold", 10 * hidden);
    }

    /// <summary>The hidden size that a model's <c>Config</c> declares, the largest of several; null where it declares none.</summary>
    public static long? HiddenSizeOf(Module model)
    {
        if (Property(model, "Config") is not { } config) return null;
        if (Property(config, "HiddenSize") is { } size) return Convert.ToInt64(size, CultureInfo.InvariantCulture);
        return Property(config, "HiddenSizes") is IEnumerable sizes ? sizes.Cast<object>().Max(item => Convert.ToInt64(item, CultureInfo.InvariantCulture)) : null;
    }

    /// <summary>A property by name; of several that hide each other, the last.</summary>
    private static object? Property(object of, string name)
    {
        for (var type = of.GetType(); type is not null; type = type.BaseType)
            if (type.GetProperty(name, BindingFlags.Instance | BindingFlags.Public | BindingFlags.DeclaredOnly) is { } property) return property.GetValue(of);
        return null;
    }

    /// <summary>The share of one process in a loader's batches; null where the loader does not say.</summary>
    public static int? ShareOf(object loader, DataLoaderConfiguration configuration, int worldSize) =>
        LoaderPreparation.BatchSizeOf(loader) is { } size ? configuration.SplitBatches ? size / worldSize : size : null;
}

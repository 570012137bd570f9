using AccelerateSharp.Data.Sampling;
using AccelerateSharp.Data.Sources;
using AccelerateSharp.Data.Trees;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;

namespace AccelerateSharp.Data.TorchLoaders;

/// <summary>Prepares TorchSharp's own loader in place.</summary>
/// <remarks>
/// What the user reads of a prepared loader: <c>batch_size</c> is the number of samples of a step over all ranks, <c>dataset</c> is
/// the user's own (or, where an incomplete end is dropped, a view of it that ends where the epoch ends), and <c>Count</c>, which
/// TorchSharp computes from these two, is the number of steps. Without even batches a rank may see one step less.
/// </remarks>
internal static class PreparedLoader
{
    public static DataLoader<T, S> Prepare<T, S>(DataLoader<T, S> loader, LoaderBinding binding)
    {
        if (BindingOf(loader) is not null) return loader;
        var (size, split) = (binding.Context.Size, binding.Configuration.SplitBatches);
        var (batchSize, dropLast) = (loader.batch_size, loader.drop_last);
        var dispatches = binding.Dispatches(isStream: false);
        if (split) SplitBatches.Check(batchSize, size);
        var stepSize = split ? batchSize : checked(batchSize * size);
        var order = Order(loader, binding.Configuration);
        LoaderExchange<T, S>? exchange = null;
        if (dispatches)
        {
            if (!binding.DevicePlacement) throw BatchSource<S>.NeedsDevicePlacement();
            exchange = new LoaderExchange<T, S>(binding, loader.collate_fn);
            LoaderFields<T, S>.Collate(loader) = exchange.Collate;
            if (exchange.IsReceiver)
                LoaderFields<T, S>.Dataset(loader) = new EpochView<T>(loader.dataset, loader.dataset.Count, reads: false, owns: true);
        }
        else if (binding.DevicePlacement)
        {
            LoaderFields<T, S>.Collate(loader) = Placing(loader.collate_fn, binding);
        }
        if (binding.DevicePlacement) LoaderFields<T, S>.Device(loader) = binding.Context.Device;
        LoaderFields<T, S>.Sampler(loader) = new PreparedSampler(
            binding, stepSize, dropLast, new EpochCounter(), skip: 0, () => Batches(order, batchSize, stepSize, dropLast, binding, dispatches))
        {
            Exchange = exchange,
        };
        LoaderFields<T, S>.BatchSize(loader) = stepSize;
        if (size > 1 && dropLast) Limit(loader, loader.dataset.Count / stepSize * stepSize, owns: true);
        return loader;
    }

    public static LoaderBinding? BindingOf<T, S>(DataLoader<T, S> loader) => (loader.sampler as PreparedSampler)?.Binding;

    /// <summary>A loader of the same type over the same dataset without the first batches; disposing of it leaves the dataset alone.</summary>
    public static DataLoader<T, S> SkipFirst<T, S>(DataLoader<T, S> loader, long batches)
    {
        var view = (DataLoader<T, S>)LoaderFields<T, S>.Clone(loader);
        var samples = batches * loader.batch_size;
        LoaderFields<T, S>.Sampler(view) = loader.sampler is PreparedSampler prepared
            ? prepared.Skipping(batches)
            : loader.sampler.Skip(checked((int)samples));
        Limit(view, Math.Max(0, loader.dataset.Count - samples), owns: false);
        return view;
    }

    private static IIndexSampler Order<T, S>(DataLoader<T, S> loader, DataLoaderConfiguration configuration)
    {
        if (loader.sampler is not FisherYatesShuffler shuffler) return new UserSampler(loader.sampler, loader.dataset.Count);
        var seed = ShufflerFields.Seed(shuffler);
        // A seeded shuffler repeats one order in all epochs, on every rank: that is the user's choice unless they configured another.
        if (seed is not null && !configuration.UseSeedableSampler) return new UserSampler(shuffler, ShufflerFields.Size(shuffler));
        var epochSeed = configuration.UseSeedableSampler ? configuration.DataSeed ?? seed : null;
        return new SeedableRandomSampler(ShufflerFields.Size(shuffler), epochSeed ?? Shuffling.BaseSeed(configuration));
    }

    private static IBatchSampler Batches(
        IIndexSampler order, int batchSize, int stepSize, bool dropLast, LoaderBinding binding, bool dispatches)
    {
        if (dispatches) return new BatchSampler(order, stepSize, dropLast);
        var whole = new BatchSampler(order, batchSize, dropLast);
        return binding.Context.Size == 1
            ? whole
            : new BatchSamplerShard(
                whole, binding.Context.Size, binding.Context.Rank, binding.Configuration.SplitBatches, binding.EvenBatches);
    }

    /// <summary>The user's collate function is given the device; this is for those that do not look at it.</summary>
    private static Func<IEnumerable<T>, torch.Device, S> Placing<T, S>(Func<IEnumerable<T>, torch.Device, S> collate, LoaderBinding binding) =>
        (samples, device) => TensorTree.Map(
            collate(samples, device),
            tensor => Ownership.IsOn(tensor, device) ? tensor : tensor.to(device, non_blocking: binding.Configuration.NonBlocking));

    private static void Limit<T, S>(DataLoader<T, S> loader, long samples, bool owns)
    {
        var dataset = loader.dataset;
        if (samples != dataset.Count) LoaderFields<T, S>.Dataset(loader) = new EpochView<T>(dataset, samples, reads: true, owns);
        // The sampler drops what is to be dropped. TorchSharp counts one batch for no samples, unless it drops.
        LoaderFields<T, S>.DropLast(loader) = samples == 0;
    }
}

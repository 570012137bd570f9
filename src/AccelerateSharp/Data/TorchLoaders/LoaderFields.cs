using System.Runtime.CompilerServices;
using TorchSharp;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch.utils.data;

namespace AccelerateSharp.Data.TorchLoaders;

/// <summary>The parts of TorchSharp's loader, which it lets one read only.</summary>
/// <remarks>
/// Its enumerator asks for them at every step: it pulls <c>batch_size</c> indices from the sampler's enumerator, on the loop's
/// thread, reads the samples in parallel, and calls the collate function with the device. Exchanging them is enough to prepare a
/// loader in place, so that the user's variable keeps its type (the loader's own <c>GetEnumerator</c> is not virtual).
/// </remarks>
internal static class LoaderFields<T, S>
{
    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<sampler>k__BackingField")]
    public static extern ref IEnumerable<long> Sampler(DataLoader<T, S> loader);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<dataset>k__BackingField")]
    public static extern ref Dataset<T> Dataset(DataLoader<T, S> loader);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<batch_size>k__BackingField")]
    public static extern ref int BatchSize(DataLoader<T, S> loader);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<drop_last>k__BackingField")]
    public static extern ref bool DropLast(DataLoader<T, S> loader);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<Device>k__BackingField")]
    public static extern ref torch.Device Device(DataLoader<T, S> loader);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "<collate_fn>k__BackingField")]
    public static extern ref Func<IEnumerable<T>, torch.Device, S> Collate(DataLoader<T, S> loader);

    [UnsafeAccessor(UnsafeAccessorKind.Method, Name = "MemberwiseClone")]
    public static extern object Clone(object loader);
}

/// <summary>The parts of TorchSharp's shuffler.</summary>
internal static class ShufflerFields
{
    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "seed")]
    public static extern ref int? Seed(FisherYatesShuffler shuffler);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "size")]
    public static extern ref long Size(FisherYatesShuffler shuffler);
}

using static TorchSharp.torch.utils.data;

namespace AccelerateSharp.Data.TorchLoaders;

/// <summary>A dataset as one loop sees it: as many samples as the loop uses, and none read on ranks that are sent theirs.</summary>
/// <remarks>TorchSharp's loader computes its <c>Count</c> from the dataset's, so this is where dropped and skipped samples are left out.</remarks>
internal sealed class EpochView<T>(Dataset<T> inner, long count, bool reads, bool owns) : Dataset<T>
{
    public override long Count => count;

    public override T GetTensor(long index) => reads ? inner.GetTensor(index) : default!;

    protected override void Dispose(bool disposing)
    {
        if (disposing && owns) inner.Dispose();
    }
}

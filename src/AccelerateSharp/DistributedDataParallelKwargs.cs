namespace AccelerateSharp;

/// <summary>Options of data-parallel training: how gradients are grouped and averaged. Names and defaults are PyTorch's.</summary>
public sealed record DistributedDataParallelKwargs
{
    /// <summary>Size of a gradient bucket in MiB; 25 by default. One bucket is one all-reduce.</summary>
    public double BucketCapMb { get; init; } = 25;

    /// <summary>Size of the first bucket in MiB; 1 by default, so that communication starts early in the backward pass.</summary>
    public double FirstBucketCapMb { get; init; } = 1;

    /// <summary>Whether buffers (batch-norm statistics …) are taken from rank 0 before each training forward; true by default.</summary>
    public bool BroadcastBuffers { get; init; } = true;

    /// <summary>
    /// Reduces a model's gradients after every backward that follows one of its forwards, also where none of them arrived on
    /// this rank; false by default.
    /// </summary>
    /// <remarks>
    /// A single parameter that takes no part is always handled. This is for models of which a rank may skip the whole, so that
    /// its peers do not wait.
    /// </remarks>
    public bool FindUnusedParameters { get; init; }

    internal void Validate()
    {
        if (!(BucketCapMb > 0)) throw new ArgumentOutOfRangeException(nameof(BucketCapMb), BucketCapMb, "DistributedDataParallelKwargs.BucketCapMb must be above 0 MiB.");
        if (!(FirstBucketCapMb > 0)) throw new ArgumentOutOfRangeException(nameof(FirstBucketCapMb), FirstBucketCapMb, "DistributedDataParallelKwargs.FirstBucketCapMb must be above 0 MiB.");
    }
}

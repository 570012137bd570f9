namespace AccelerateSharp.Parallel;

/// <summary>Divides parameters into buckets in the order in which their gradients are expected.</summary>
internal static class BucketPlanner
{
    /// <param name="ordered">Parameters in the expected order of their gradients.</param>
    /// <param name="isLate">Whether a parameter's gradient is only known after the backward pass; such buckets stand last.</param>
    /// <param name="options">Sizes of the first and of the other buckets.</param>
    /// <returns>The members of each bucket; a bucket has one dtype and one device.</returns>
    public static IReadOnlyList<IReadOnlyList<ParameterGradient>> Plan(
        IReadOnlyList<ParameterGradient> ordered, Func<ParameterGradient, bool> isLate, DistributedDataParallelKwargs options)
    {
        var buckets = new List<IReadOnlyList<ParameterGradient>>();
        var capBytes = options.FirstBucketCapMb * 1024 * 1024;
        foreach (var kind in ordered.GroupBy(parameter => (Late: isLate(parameter), parameter.Parameter.dtype, Device: parameter.Parameter.device.ToString())).OrderBy(kind => kind.Key.Late))
        {
            var bucket = new List<ParameterGradient>();
            var bytes = 0d;
            foreach (var parameter in kind)
            {
                bucket.Add(parameter);
                bytes += parameter.Parameter.numel() * parameter.Parameter.element_size();
                if (bytes < capBytes) continue;
                buckets.Add(bucket);
                (bucket, bytes, capBytes) = ([], 0, options.BucketCapMb * 1024 * 1024);
            }

            if (bucket.Count > 0) buckets.Add(bucket);
        }

        return buckets;
    }
}

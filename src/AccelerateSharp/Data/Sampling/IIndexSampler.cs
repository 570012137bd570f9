namespace AccelerateSharp.Data.Sampling;

/// <summary>Chooses which samples an epoch visits, and in which order. The answer is the same on every rank.</summary>
internal interface IIndexSampler
{
    /// <summary>How many indices an epoch yields; null when only walking it tells.</summary>
    long? Count { get; }

    /// <summary>Starts an epoch. A collective when <paramref name="context"/> spans several ranks.</summary>
    /// <param name="epoch">Number of the epoch, from 0.</param>
    /// <param name="context">The ranks that must agree on the order.</param>
    IEnumerable<long> Begin(long epoch, IDataParallelContext context);
}

namespace AccelerateSharp.Data.Sampling;

/// <summary>The sample indices of one batch of one rank.</summary>
/// <param name="Indices">What to load; some may be repetitions that only fill the batch up.</param>
/// <param name="Remainder">
/// How many distinct samples all ranks together have in this round when it was filled up or cut short; 0 when the round is whole.
/// </param>
internal readonly record struct IndexBatch(long[] Indices, int Remainder);

/// <summary>Groups indices into batches.</summary>
internal interface IBatchSampler
{
    /// <summary>Indices per batch; null when batches have sizes of their own.</summary>
    int? BatchSize { get; }

    /// <summary>Whether an incomplete last batch is left out.</summary>
    bool DropLast { get; }

    /// <summary>How many batches an epoch has; null when unknown.</summary>
    long? Count { get; }

    /// <summary>How many indices an epoch has before any is dropped; null when unknown.</summary>
    long? SampleCount { get; }

    /// <summary>Starts an epoch. A collective when <paramref name="context"/> spans several ranks.</summary>
    IEnumerable<IndexBatch> Begin(long epoch, IDataParallelContext context);
}

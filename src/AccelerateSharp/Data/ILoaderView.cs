namespace AccelerateSharp.Data;

/// <summary>A loader of ours, whatever it yields.</summary>
internal interface ILoaderView
{
    /// <summary>What preparing tied it to; null before.</summary>
    LoaderBinding? Binding { get; }

    /// <summary>Samples in a batch; null where they vary.</summary>
    int? BatchSize { get; }

    /// <summary>A view without the first batches.</summary>
    object Skip(long batches);

    /// <summary>Makes the next loop epoch number <paramref name="epoch"/>.</summary>
    void SetEpoch(long epoch);
}

using static TorchSharp.torch;

namespace AccelerateSharp.Data.Sampling;

/// <summary>Where the seed of a shuffled loader comes from when the loader itself has none.</summary>
internal static class Shuffling
{
    /// <summary>The base seed of a seedable sampler; null when each epoch draws a new one.</summary>
    public static long? BaseSeed(DataLoaderConfiguration configuration)
    {
        if (!configuration.UseSeedableSampler) return null;
        return configuration.DataSeed ?? initial_seed();
    }
}

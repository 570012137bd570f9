using static TorchSharp.torch;

namespace AccelerateSharp.Data.Sampling;

/// <summary>A new permutation every epoch, the same on all ranks and on any number of them.</summary>
/// <remarks>
/// Epoch e of seed s is <c>torch.randperm(n)</c> under a CPU generator seeded with s + e, so an epoch can be replayed without
/// the ones before it. Without a seed, rank 0 draws one from torch's global generator at each epoch (as PyTorch's
/// <c>RandomSampler</c> does), so <c>manual_seed</c> still decides the order. Either way rank 0's seed is broadcast: ranks whose
/// global generators differ, on purpose or not, shuffle alike.
/// </remarks>
internal sealed class SeedableRandomSampler(long count, long? seed = null) : IIndexSampler
{
    public long? Count => count;

    public IEnumerable<long> Begin(long epoch, IDataParallelContext context)
    {
        var mine = seed is { } fixedSeed ? fixedSeed + epoch : context.Rank == 0 ? DrawSeed() : 0;
        return Permutation(count, context.Size > 1 ? context.BroadcastObject(mine) : mine);
    }

    /// <summary>The permutation of 0 … <paramref name="count"/>−1 that <paramref name="seed"/> stands for.</summary>
    public static long[] Permutation(long count, long seed)
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(unchecked((ulong)seed));
        return randperm(count, ScalarType.Int64, CPU, generator: generator).data<long>().ToArray();
    }

    private static long DrawSeed()
    {
        using var scope = NewDisposeScope();
        return empty(1, ScalarType.Int64, CPU).random_(0, 1L << 62).item<long>();
    }
}

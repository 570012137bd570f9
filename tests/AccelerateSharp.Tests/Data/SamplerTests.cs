using AccelerateSharp.Data;
using AccelerateSharp.Data.Sampling;
using CsCheck;

namespace AccelerateSharp.Tests.Data;

public class SamplerTests
{
    [Theory]
    [InlineData(42, 0, new long[] { 2, 6, 1, 8, 4, 5, 0, 9, 3, 7 })]
    [InlineData(42, 1, new long[] { 8, 4, 9, 0, 5, 1, 6, 7, 2, 3 })]
    [InlineData(42, 2, new long[] { 2, 6, 3, 8, 7, 9, 1, 4, 5, 0 })]
    [InlineData(0, 0, new long[] { 4, 1, 7, 5, 3, 9, 0, 8, 6, 2 })]
    [InlineData(1, 0, new long[] { 5, 6, 1, 2, 0, 8, 9, 3, 7, 4 })]
    [InlineData(0, 1, new long[] { 5, 6, 1, 2, 0, 8, 9, 3, 7, 4 })]
    [InlineData(2, 0, new long[] { 8, 7, 1, 5, 6, 9, 0, 4, 2, 3 })]
    public void A_seed_and_an_epoch_give_the_permutation_that_torch_gives(long seed, long epoch, long[] expected) =>
        Assert.Equal(expected, new SeedableRandomSampler(10, seed).Begin(epoch, SingleProcessContext.Cpu));

    // ranks, n, batch size, split, drop last
    [Theory]
    [InlineData(2, 8, 4, false, false, "0,1,2,3|4,5,6,7")]
    [InlineData(2, 8, 4, true, false, "0,1,4,5|2,3,6,7")]
    [InlineData(2, 10, 4, false, false, "0,1,2,3,8,9,0,1|4,5,6,7,2,3,4,5")]
    [InlineData(2, 10, 4, true, false, "0,1,4,5,8,9|2,3,6,7,0,1")]
    [InlineData(2, 10, 4, false, true, "0,1,2,3|4,5,6,7")]
    [InlineData(2, 10, 4, true, true, "0,1,4,5|2,3,6,7")]
    [InlineData(2, 3, 4, false, false, "0,1,2,0|1,2,0,1")]
    [InlineData(2, 3, 4, true, false, "0,1|2,0")]
    [InlineData(3, 10, 2, false, false, "0,1,6,7|2,3,8,9|4,5,0,1")]
    public void A_stream_is_cut_into_the_known_shares(int size, int n, int batchSize, bool split, bool dropLast, string expected)
    {
        for (var rank = 0; rank < size; rank++)
        {
            var shard = new IterableShard<int>(Enumerable.Range(0, n), batchSize, dropLast, size, rank, split);
            var samples = shard.Walk().Select(item => item.Sample).ToArray();
            Assert.Equal(expected.Split('|')[rank], string.Join(',', samples));
            Assert.Equal(samples.Length, shard.Count(n));
        }
    }

    [Fact]
    public void Shares_of_a_stream_interleave_to_the_stream() =>
        Gen.Select(Gen.Int[1, 50], Gen.Int[1, 5], Gen.Int[1, 5], Gen.Bool).Sample((n, share, size, split) =>
        {
            var batchSize = split ? share * size : share;
            var ranks = Enumerable.Range(0, size)
                .Select(rank => new IterableShard<int>(Enumerable.Range(0, n), batchSize, false, size, rank, split).Walk().ToArray()).ToArray();
            Assert.Single(ranks.Select(samples => samples.Length).Distinct());
            Assert.Equal(0, ranks[0].Length % share);
            var interleaved = Enumerable.Range(0, ranks[0].Length / share)
                .SelectMany(round => ranks.SelectMany(samples => samples.Skip(round * share).Take(share)))
                .Select(item => item.Sample).ToArray();
            Assert.Equal(Enumerable.Range(0, n), interleaved.Take(n));
            // The filling starts again at the first sample.
            Assert.All(interleaved.Skip(n).Index(), item => Assert.Equal(item.Index % Math.Min(n, share * size), item.Item));
        });
}

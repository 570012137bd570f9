using AccelerateSharp.Data;
using AccelerateSharp.Data.Sampling;
using CsCheck;

namespace AccelerateSharp.Tests.Data;

public class BatchSamplerShardTests
{
    private const string Six = "[0,1,2],[6,7,8]";
    private const string SixB = "[3,4,5],[9,10,11]";

    // n, batch size, drop last, split, even, then every rank's batches.
    public static TheoryData<int, int, bool, bool, bool, string[]> Golden => new()
    {
        { 24, 3, false, false, true, [$"{Six},[12,13,14],[18,19,20]", $"{SixB},[15,16,17],[21,22,23]"] },
        { 24, 3, true, false, true, [$"{Six},[12,13,14],[18,19,20]", $"{SixB},[15,16,17],[21,22,23]"] },
        { 21, 3, false, false, true, [$"{Six},[12,13,14],[18,19,20]", $"{SixB},[15,16,17],[0,1,2]"] },
        { 21, 3, true, false, true, [$"{Six},[12,13,14]", $"{SixB},[15,16,17]"] },
        { 22, 3, false, false, true, [$"{Six},[12,13,14],[18,19,20]", $"{SixB},[15,16,17],[21,0,1]"] },
        { 22, 3, true, false, true, [$"{Six},[12,13,14]", $"{SixB},[15,16,17]"] },
        { 20, 3, true, false, true, [$"{Six},[12,13,14]", $"{SixB},[15,16,17]"] },
        { 20, 3, false, false, true, [$"{Six},[12,13,14],[18,19,0]", $"{SixB},[15,16,17],[1,2,3]"] },
        { 2, 3, false, false, true, ["[0,1,0]", "[1,0,1]"] },
        { 2, 3, true, false, true, ["", ""] },
        { 21, 3, false, false, false, [$"{Six},[12,13,14],[18,19,20]", $"{SixB},[15,16,17]"] },
        { 22, 3, false, false, false, [$"{Six},[12,13,14],[18,19,20]", $"{SixB},[15,16,17],[21]"] },
        { 20, 3, false, false, false, [$"{Six},[12,13,14],[18,19]", $"{SixB},[15,16,17]"] },
        { 2, 3, false, false, false, ["[0,1]", ""] },
        { 24, 4, false, true, true, ["[0,1],[4,5],[8,9],[12,13],[16,17],[20,21]", "[2,3],[6,7],[10,11],[14,15],[18,19],[22,23]"] },
        { 22, 4, false, true, true, ["[0,1],[4,5],[8,9],[12,13],[16,17],[20,21]", "[2,3],[6,7],[10,11],[14,15],[18,19],[0,1]"] },
        { 22, 4, true, true, true, ["[0,1],[4,5],[8,9],[12,13],[16,17]", "[2,3],[6,7],[10,11],[14,15],[18,19]"] },
        { 21, 4, true, true, true, ["[0,1],[4,5],[8,9],[12,13],[16,17]", "[2,3],[6,7],[10,11],[14,15],[18,19]"] },
        { 21, 4, false, true, true, ["[0,1],[4,5],[8,9],[12,13],[16,17],[20,0]", "[2,3],[6,7],[10,11],[14,15],[18,19],[1,2]"] },
        { 2, 4, false, true, true, ["[0,1]", "[0,1]"] },
        { 22, 4, false, true, false, ["[0,1],[4,5],[8,9],[12,13],[16,17],[20,21]", "[2,3],[6,7],[10,11],[14,15],[18,19]"] },
        { 21, 4, false, true, false, ["[0,1],[4,5],[8,9],[12,13],[16,17],[20]", "[2,3],[6,7],[10,11],[14,15],[18,19]"] },
        { 2, 4, false, true, false, ["[0,1]", ""] },
        { 10, 2, false, false, true, ["[0,1],[6,7]", "[2,3],[8,9]", "[4,5],[0,1]"] },
        { 10, 2, false, false, false, ["[0,1],[6,7]", "[2,3],[8,9]", "[4,5]"] },
        { 10, 2, true, false, true, ["[0,1]", "[2,3]", "[4,5]"] },
        { 11, 2, false, false, true, ["[0,1],[6,7]", "[2,3],[8,9]", "[4,5],[10,0]"] },
        { 13, 2, false, false, true, ["[0,1],[6,7],[12,0]", "[2,3],[8,9],[1,2]", "[4,5],[10,11],[3,4]"] },
        { 13, 2, false, false, false, ["[0,1],[6,7],[12]", "[2,3],[8,9]", "[4,5],[10,11]"] },
        { 14, 2, false, false, true, ["[0,1],[6,7],[12,13]", "[2,3],[8,9],[0,1]", "[4,5],[10,11],[2,3]"] },
        { 1, 2, false, false, true, ["[0,0]", "[0,0]", "[0,0]"] },
        { 4, 2, false, false, true, ["[0,1]", "[2,3]", "[0,1]"] },
        { 9, 2, false, false, true, ["[0,1],[8,0]", "[2,3],[1,2]", "[4,5],[3,4]", "[6,7],[5,6]"] },
        { 9, 2, false, false, false, ["[0,1],[8]", "[2,3]", "[4,5]", "[6,7]"] },
        { 17, 2, false, false, true, ["[0,1],[8,9],[16,0]", "[2,3],[10,11],[1,2]", "[4,5],[12,13],[3,4]", "[6,7],[14,15],[5,6]"] },
        { 3, 4, false, false, true, ["[0,1,2,0]", "[1,2,0,1]", "[2,0,1,2]", "[0,1,2,0]"] },
        { 5, 1, false, false, true, ["[0],[4]", "[1],[0]", "[2],[1]", "[3],[2]"] },
        { 10, 6, false, true, true, ["[0,1],[6,7]", "[2,3],[8,9]", "[4,5],[0,1]"] },
        { 7, 6, false, true, true, ["[0,1],[6,0]", "[2,3],[1,2]", "[4,5],[3,4]"] },
        { 7, 6, false, true, false, ["[0,1],[6]", "[2,3]", "[4,5]"] },
        { 11, 8, false, true, true, ["[0,1],[8,9]", "[2,3],[10,0]", "[4,5],[1,2]", "[6,7],[3,4]"] },
        { 11, 8, false, true, false, ["[0,1],[8,9]", "[2,3],[10]", "[4,5]", "[6,7]"] },
        { 3, 8, false, true, true, ["[0,1]", "[2,0]", "[1,2]", "[0,1]"] },
        { 3, 8, false, true, false, ["[0,1]", "[2]", "", ""] },
    };

    [Theory]
    [MemberData(nameof(Golden))]
    public void Ranks_get_the_known_batches(int n, int batchSize, bool dropLast, bool split, bool even, string[] expected)
    {
        for (var rank = 0; rank < expected.Length; rank++)
        {
            var shard = Shard(n, batchSize, dropLast, expected.Length, rank, split, even);
            var batches = Walk(shard);
            Assert.Equal(expected[rank], Show(batches));
            Assert.Equal(batches.Count, shard.Count);
        }
    }

    public static TheoryData<string, bool, bool, string[]> Dynamic => new()
    {
        { "[0,1,2],[3,4],[5,6,7,8],[9,10,11],[12,13]", false, false, ["[0,1,2],[5,6,7,8],[12,13]", "[3,4],[9,10,11]"] },
        { "[0,1,2],[3,4],[5,6,7,8],[9,10,11],[12,13]", false, true, ["[0,1,2],[5,6,7,8],[12,13]", "[3,4],[9,10,11],[0,1,2]"] },
        { "[0,1,2],[3,4],[5,6,7,8],[9,10,11],[12,13]", true, true, ["[0,1,2],[5,6,7,8]", "[3,4],[9,10,11]"] },
        { "[5,6]", false, true, ["[5,6]", "[5,6]", "[5,6]"] },
        { "[0],[1,2],[3,4,5],[6],[7,8],[9,10,11],[12,13]", false, true,
            ["[0],[6],[12,13]", "[1,2],[7,8],[0]", "[3,4,5],[9,10,11],[1,2]"] },
    };

    [Theory]
    [MemberData(nameof(Dynamic))]
    public void Batches_of_any_size_are_dealt_out_whole(string batches, bool dropLast, bool even, string[] expected)
    {
        for (var rank = 0; rank < expected.Length; rank++)
        {
            var shard = new BatchSamplerShard(new DynamicBatchSampler(Parse(batches), dropLast), expected.Length, rank, evenBatches: even);
            var walked = Walk(shard);
            Assert.Equal(expected[rank], Show(walked));
            Assert.Equal(walked.Count, shard.Count);
        }
    }

    [Fact]
    public void A_batch_of_16_on_one_process_is_a_batch_of_2_on_each_of_eight()
    {
        for (var rank = 0; rank < 8; rank++)
        {
            var batches = Walk(Shard(64, 16, dropLast: false, 8, rank, split: true, even: true));
            Assert.Equal(4, batches.Count);
            Assert.All(batches, batch => Assert.Equal(2, batch.Indices.Length));
            Assert.Equal([2L * rank, 2L * rank + 1], batches[0].Indices);
        }
    }

    [Theory]
    [InlineData(22, 4, 2, false, 6)]
    [InlineData(22, 4, 2, true, 2)]
    [InlineData(22, 4, 3, false, 10)]
    [InlineData(24, 4, 2, false, 0)]
    [InlineData(2, 3, 2, false, 2)]
    public void The_last_round_says_how_many_samples_are_real(int n, int batchSize, int size, bool split, int remainder)
    {
        for (var rank = 0; rank < size; rank++)
        {
            var batches = Walk(Shard(n, batchSize, dropLast: false, size, rank, split, even: true));
            Assert.Equal(remainder, batches[^1].Remainder);
            Assert.All(batches.SkipLast(1), batch => Assert.Equal(0, batch.Remainder));
        }
    }

    [Theory]
    [InlineData(5, 2)]
    [InlineData(1, 2)]
    [InlineData(null, 2)]
    public void A_batch_that_cannot_be_split_is_refused_with_the_setting_named(int? batchSize, int size)
    {
        IBatchSampler inner = batchSize is { } fixedSize
            ? new BatchSampler(new SequentialSampler(10), fixedSize, dropLast: false)
            : new DynamicBatchSampler([[0]]);
        var error = Assert.Throws<ArgumentException>(() => new BatchSamplerShard(inner, size, 0, splitBatches: true));
        Assert.Contains("SplitBatches", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Shards_together_cover_every_sample_once_apart_from_the_filling() =>
        Gen.Select(Gen.Int[0, 60], Gen.Int[1, 7], Gen.Int[1, 6], Gen.Bool, Gen.Bool, Gen.Bool).Sample((n, share, size, dropLast, split, even) =>
        {
            var batchSize = split ? share * size : share;
            var ranks = Enumerable.Range(0, size).Select(rank => Walk(Shard(n, batchSize, dropLast, size, rank, split, even))).ToArray();
            var step = split ? batchSize : batchSize * size;
            var seen = ranks.SelectMany(batches => batches).SelectMany(batch => batch.Indices).Order().ToArray();
            if (dropLast)
            {
                Assert.Equal(n / step * step, seen.Length);
                Assert.Equal(seen.Distinct(), seen);
            }
            else if (even)
            {
                Assert.Equal(Enumerable.Range(0, n).Select(i => (long)i), seen.Distinct());
                Assert.Equal((n + step - 1) / step * step, seen.Length);
            }
            else
            {
                Assert.Equal(Enumerable.Range(0, n).Select(i => (long)i), seen);
            }
            if (dropLast || even)
            {
                Assert.Single(ranks.Select(batches => batches.Count).Distinct());
                Assert.All(ranks.SelectMany(batches => batches), batch => Assert.Equal(share, batch.Indices.Length));
            }
            for (var rank = 0; rank < size; rank++)
                Assert.Equal(ranks[rank].Count, Shard(n, batchSize, dropLast, size, rank, split, even).Count);
        });

    [Fact]
    public void Skipped_batches_are_the_first_ones()
    {
        var skip = new SkipBatchSampler(new BatchSampler(new SequentialSampler(16), 4, dropLast: false), 2);
        Assert.Equal("[8,9,10,11],[12,13,14,15]", Show(Walk(skip)));
        Assert.Equal(2, skip.Count);
    }

    private static BatchSamplerShard Shard(int n, int batchSize, bool dropLast, int size, int rank, bool split, bool even) =>
        new(new BatchSampler(new SequentialSampler(n), batchSize, dropLast), size, rank, split, even);

    private static List<IndexBatch> Walk(IBatchSampler sampler) => [.. sampler.Begin(0, SingleProcessContext.Cpu)];

    private static string Show(IEnumerable<IndexBatch> batches) =>
        string.Join(',', batches.Select(batch => $"[{string.Join(',', batch.Indices)}]"));

    private static long[][] Parse(string batches) =>
        [.. batches.Trim('[', ']').Split("],[").Select(batch => batch.Split(',').Select(long.Parse).ToArray())];
}

using AccelerateSharp.Data;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Data;

/// <summary>What ranks see of every kind of loader, against the reference's lists.</summary>
public class PreparedLoaderTests
{
    private static readonly DataLoaderConfiguration _default = new();
    private static readonly DataLoaderConfiguration _split = new() { SplitBatches = true };
    private static readonly DataLoaderConfiguration _uneven = new() { EvenBatches = false };
    private static readonly DataLoaderConfiguration _dispatch = new() { DispatchBatches = true };
    private static readonly DataLoaderConfiguration _dispatchSplit = new() { DispatchBatches = true, SplitBatches = true };
    private static readonly DataLoaderConfiguration _shard = new() { DispatchBatches = false };
    private static readonly DataLoaderConfiguration _shardSplit = new() { DispatchBatches = false, SplitBatches = true };

    private const string Map = "tensor,dataset,workers,torch";
    private const string Stream = "samples,samples ahead";

    // kinds of loader, configuration, n, batch size, drop last, remainder at the end, length of the metrics, the ranks' batches
    public static TheoryData<string, string, int, int, bool, int, int, string[]> Golden => new()
    {
        { Map, "default", 22, 4, false, 6, 22, ["[0,1,2,3],[8,9,10,11],[16,17,18,19]", "[4,5,6,7],[12,13,14,15],[20,21,0,1]"] },
        { Map, "uneven", 22, 4, false, 6, 22, ["[0,1,2,3],[8,9,10,11],[16,17,18,19]", "[4,5,6,7],[12,13,14,15],[20,21]"] },
        { Map, "default", 22, 4, true, -1, 16, ["[0,1,2,3],[8,9,10,11]", "[4,5,6,7],[12,13,14,15]"] },
        { Map, "split", 22, 4, false, 2, 22, ["[0,1],[4,5],[8,9],[12,13],[16,17],[20,21]", "[2,3],[6,7],[10,11],[14,15],[18,19],[0,1]"] },
        { Map, "dispatch", 22, 4, false, 6, 22, ["[0,1,2,3],[8,9,10,11],[16,17,18]", "[4,5,6,7],[12,13,14,15],[19,20,21]"] },
        { Map, "dispatch split", 22, 4, false, 2, 22, ["[0,1],[4,5],[8,9],[12,13],[16,17],[20]", "[2,3],[6,7],[10,11],[14,15],[18,19],[21]"] },
        { Map, "dispatch", 22, 4, true, -1, 16, ["[0,1,2,3],[8,9,10,11]", "[4,5,6,7],[12,13,14,15]"] },
        { Map, "default", 22, 4, false, 10, 22, ["[0,1,2,3],[12,13,14,15]", "[4,5,6,7],[16,17,18,19]", "[8,9,10,11],[20,21,0,1]"] },
        { Map, "dispatch", 4, 4, false, 4, 4, ["[0,1]", "[2,3]", "[0,1]"] },
        { Map, "dispatch", 1, 4, false, 1, 1, ["[0]", "[0]", "[0]"] },
        { Map, "default", 22, 4, false, 2, 22, ["[0,1,2,3],[4,5,6,7],[8,9,10,11],[12,13,14,15],[16,17,18,19],[20,21]"] },
        { Stream, "dispatch", 30, 4, false, 6, 30,
            ["[0,1,2,3],[8,9,10,11],[16,17,18,19],[24,25,26]", "[4,5,6,7],[12,13,14,15],[20,21,22,23],[27,28,29]"] },
        { Map + "," + Stream, "shard", 9, 5, false, 9, 9, ["[0,1,2,3,4]", "[5,6,7,8,0]"] },
        { Map + "," + Stream, "dispatch", 7, 2, false, 3, 7, ["[0,1],[4,5]", "[2,3],[6,0]"] },
        { Map + "," + Stream, "dispatch split", 7, 2, false, 1, 7, ["[0],[2],[4],[6]", "[1],[3],[5],[0]"] },
        { Map + "," + Stream, "dispatch", 5, 4, false, 5, 5, ["[0,1,2]", "[3,4,0]"] },
        { Map + "," + Stream, "dispatch split", 13, 4, false, 1, 13, ["[0,1],[4,5],[8,9],[12]", "[2,3],[6,7],[10,11],[0]"] },
        { Map + "," + Stream, "dispatch", 7, 2, false, 1, 7, ["[0,1],[6]", "[2,3],[0]", "[4,5],[1]"] },
        { Map + "," + Stream, "dispatch", 13, 2, false, 1, 13, ["[0,1],[6,7],[12]", "[2,3],[8,9],[0]", "[4,5],[10,11],[1]"] },
        // Duplicates of a sharded stream are told apart here; the reference leaves them in the metrics.
        { Stream, "shard", 10, 4, false, 2, 10, ["[0,1,2,3],[8,9,0,1]", "[4,5,6,7],[2,3,4,5]"] },
        { Stream, "shard split", 10, 4, false, 2, 10, ["[0,1],[4,5],[8,9]", "[2,3],[6,7],[0,1]"] },
        { Stream, "shard", 10, 4, true, -1, 8, ["[0,1,2,3]", "[4,5,6,7]"] },
        { "batches,async,batches ahead", "shard", 10, 2, false, 2, 10, ["[0,1],[4,5],[8,9]", "[2,3],[6,7],[0,1]"] },
        { "batches,async,batches ahead", "shard split", 10, 4, false, 2, 10, ["[0,1],[4,5],[8]", "[2,3],[6,7],[9]"] },
        { "batches,async,batches ahead", "default", 22, 4, false, 6, 22, ["[0,1,2,3],[8,9,10,11],[16,17,18]", "[4,5,6,7],[12,13,14,15],[19,20,21]"] },
        { "batches,async,batches ahead", "uneven", 21, 3, false, 3, 21, ["[0,1,2],[6,7,8],[12,13,14],[18,19]", "[3,4,5],[9,10,11],[15,16,17],[20]"] },
    };

    [Theory]
    [MemberData(nameof(Golden))]
    public void Ranks_see_the_known_batches_and_metrics_count_every_sample_once(
        string kinds, string configuration, int n, int batchSize, bool dropLast, int remainder, int metrics, string[] expected)
    {
        foreach (var kind in kinds.Split(','))
        {
            var ranks = InMemoryRanks.Run(expected.Length, context =>
            {
                var state = new GradientState();
                var binding = new LoaderBinding(context, state, Configuration(configuration), devicePlacement: true);
                var loader = LoaderPreparation.PrepareAny(Make(kind, n, batchSize, dropLast), binding);
                Assert.Same(loader, LoaderPreparation.PrepareAny(loader, binding));
                var first = Epoch(loader, state);
                var second = Epoch(loader, state);
                Assert.Equal(Show(first), Show(second));
                Assert.False(state.InDataLoader);
                return (Batches: first, Metrics: GatherForMetrics(first, context), Count: CountOf(loader));
            });
            for (var rank = 0; rank < expected.Length; rank++)
            {
                Assert.Equal(expected[rank], Show(ranks[rank].Batches));
                Assert.Equal(metrics, ranks[rank].Metrics.Length);
                Assert.Equal(metrics, ranks[rank].Metrics.Distinct().Count());
                Assert.Equal(remainder, ranks[rank].Batches[^1].Remainder);
                Assert.All(ranks[rank].Batches.SkipLast(1), batch => Assert.False(batch.IsLast));
                Assert.True(ranks[rank].Batches[^1].IsLast);
                if (ranks[rank].Count is { } count) Assert.Equal(ranks[rank].Batches.Count, count);
            }
        }
    }

    [Theory]
    [InlineData(Map, 2, "[16,17,18,19]|[20,21,0,1]", 6)]
    [InlineData(Map, 1, "[8,9,10,11],[16,17,18,19]|[12,13,14,15],[20,21,0,1]", 14)]
    [InlineData(Stream, 1, "[8,9,10,11],[16,17,18,19]|[12,13,14,15],[20,21,0,1]", 14)]
    [InlineData("batches", 1, "[8,9,10,11],[16,17,18,19]|[12,13,14,15],[0,1,2,3]", 14)]
    public void Skipping_keeps_the_share_and_the_truncation(string kinds, int skip, string expected, int metrics)
    {
        // The last batch of ready-made ones is whole in the reference's completion; make it so here.
        foreach (var kind in kinds.Split(','))
        {
            var n = kind == "batches" ? 20 : 22;
            var ranks = InMemoryRanks.Run(2, context =>
            {
                var state = new GradientState();
                var prepared = LoaderPreparation.PrepareAny(
                    Make(kind, n, 4, dropLast: false), new LoaderBinding(context, state, _shard, devicePlacement: true));
                var loader = LoaderPreparation.SkipFirst(prepared, skip);
                Assert.NotNull(LoaderPreparation.BindingOf(loader));
                var batches = Epoch(loader, state);
                Assert.Equal(CountOf(loader) ?? batches.Count, batches.Count);
                return (Batches: batches, Metrics: GatherForMetrics(batches, context));
            });
            Assert.Equal(expected, string.Join('|', ranks.Select(rank => Show(rank.Batches))));
            Assert.Equal(n - skip * 8, ranks[0].Metrics.Length);
            Assert.Equal(kind == "batches" ? metrics - 2 : metrics, ranks[0].Metrics.Length);
        }
    }

    [Theory]
    [InlineData(Map + "," + Stream)]
    [InlineData("batches,async")]
    public void Skipping_in_a_loader_that_nobody_prepared_leaves_the_first_batches_out(string kinds)
    {
        foreach (var kind in kinds.Split(','))
        {
            var loader = LoaderPreparation.SkipFirst(Make(kind, 16, 4, dropLast: false), 2);
            Assert.Equal("[8,9,10,11],[12,13,14,15]", Show(Epoch(loader, new GradientState())));
            Assert.Equal(2, CountOf(loader) ?? 2);
        }
    }

    [Fact]
    public void Nothing_to_read_is_no_batch_for_anybody()
    {
        var kinds = $"tensor,torch,{Stream},batches".Split(',');
        foreach (var (kind, configuration) in kinds.SelectMany(kind => new[] { _default, _dispatch, _shard }.Select(settings => (kind, settings))))
        {
            var ranks = InMemoryRanks.Run(3, context =>
            {
                var state = new GradientState();
                return Epoch(LoaderPreparation.PrepareAny(
                    Make(kind, 0, 4, dropLast: false), new LoaderBinding(context, state, configuration, devicePlacement: true)), state);
            });
            Assert.All(ranks, Assert.Empty);
        }
    }

    [Fact]
    public void A_seedable_sampler_replays_an_epoch()
    {
        var configuration = new DataLoaderConfiguration { UseSeedableSampler = true, DataSeed = 42 };
        var binding = new LoaderBinding(SingleProcessContext.Cpu, new GradientState(), configuration, devicePlacement: true);
        foreach (var kind in new[] { "shuffled tensor", "shuffled torch" })
        {
            var loader = LoaderPreparation.PrepareAny(Make(kind, 10, 10, dropLast: false), binding);
            Assert.Equal("[2,6,1,8,4,5,0,9,3,7]", Show(Epoch(loader, binding.State)));
            Assert.Equal("[8,4,9,0,5,1,6,7,2,3]", Show(Epoch(loader, binding.State)));
            LoaderPreparation.SetEpoch(loader, 1);
            Assert.Equal("[8,4,9,0,5,1,6,7,2,3]", Show(Epoch(loader, binding.State)));
            Assert.Equal("[2,6,3,8,7,9,1,4,5,0]", Show(Epoch(LoaderPreparation.SkipFirst(loader, 0), binding.State)));
        }
    }

    [Fact]
    public void Samplers_that_differ_between_ranks_are_refused_and_named()
    {
        var error = Assert.Throws<AggregateException>(() => InMemoryRanks.Run(2, context =>
        {
            var indices = new long[] { 0, 1, 2, context.Rank };
            var loader = new DataLoader<Tensor, Tensor>(new Numbers(4), 2, Collate, indices);
            return Epoch(LoaderPreparation.Prepare(loader, new LoaderBinding(context, new GradientState(), _default, true)), new GradientState());
        }));
        Assert.All(error.InnerExceptions, inner => Assert.Contains("rank 1", inner.Message, StringComparison.Ordinal));
        Assert.Equal(2, error.InnerExceptions.Count);

        var ranks = InMemoryRanks.Run(2, context =>
        {
            var indices = new long[] { 3, 1, 2, context.Rank };
            var loader = new DataLoader<Tensor, Tensor>(new Numbers(4), 2, Collate, indices);
            return Epoch(LoaderPreparation.Prepare(loader, new LoaderBinding(context, new GradientState(), _dispatch, true)), new GradientState());
        });
        Assert.Equal("[3,1]|[2,0]", string.Join('|', ranks.Select(Show)));
    }

    [Fact]
    public void Only_rank_0_reads_what_it_dispatches()
    {
        foreach (var torchKind in new[] { true, false })
        {
            var reads = InMemoryRanks.Run(3, context =>
            {
                var numbers = new Numbers(20);
                var state = new GradientState();
                var binding = new LoaderBinding(context, state, _dispatch, devicePlacement: true);
                object loader = torchKind
                    ? LoaderPreparation.Prepare(new DataLoader<Tensor, Tensor>(numbers, 2, Collate), binding)
                    : LoaderPreparation.Prepare(BatchLoader.FromFunction(20, numbers.GetTensor, 2, samples => stack(samples)), binding);
                Epoch(loader, state);
                return numbers.Reads;
            });
            Assert.Equal([20, 0, 0], reads);
        }
    }

    [Fact]
    public void When_rank_0_cannot_read_every_rank_is_told()
    {
        foreach (var torchKind in new[] { true, false })
        {
            var error = Assert.Throws<AggregateException>(() => InMemoryRanks.Run(2, context =>
            {
                var numbers = new Numbers(12) { Broken = 9 };
                var state = new GradientState();
                var binding = new LoaderBinding(context, state, _dispatch, devicePlacement: true);
                object loader = torchKind
                    ? LoaderPreparation.Prepare(new DataLoader<Tensor, Tensor>(numbers, 2, Collate), binding)
                    : LoaderPreparation.Prepare(BatchLoader.FromFunction(12, numbers.GetTensor, 2, samples => stack(samples)), binding);
                try
                {
                    return Epoch(loader, state);
                }
                finally
                {
                    Assert.False(state.InDataLoader);
                }
            }));
            Assert.Equal(2, error.InnerExceptions.Count);
            Assert.Contains("unreadable", error.InnerExceptions[0].ToString(), StringComparison.Ordinal);
            var told = Assert.IsType<DataLoadingException>(error.InnerExceptions[1]);
            Assert.Contains("rank 0", told.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Ready_made_batches_of_different_sizes_are_dispatched_without_loss_or_repetition()
    {
        // 3 + 2 rows, 1 + 4 rows, 1 row over two ranks: odd steps leave a row to the next one.
        long[][] batches = [[0, 1, 2], [3, 4], [5], [6, 7, 8, 9], [10]];
        var ranks = InMemoryRanks.Run(2, context =>
        {
            var state = new GradientState();
            IEnumerable<Tensor> source = batches.Select(batch => tensor(batch));
            var seen = Epoch(LoaderPreparation.Prepare(source, new LoaderBinding(context, state, _default, true)), state);
            return (Seen: seen, Metrics: GatherForMetrics(seen, context));
        });
        Assert.Equal(Enumerable.Range(0, 11).Select(i => (long)i), ranks[0].Metrics);
        Assert.Equal(ranks[0].Seen.Select(batch => batch.Values.Length), ranks[1].Seen.Select(batch => batch.Values.Length));
    }

    [Fact]
    public void Ranks_that_break_off_together_start_the_next_epoch_together()
    {
        var kinds = $"{Map},{Stream},batches".Split(',');
        foreach (var (kind, configuration) in kinds.SelectMany(kind => new[] { _dispatch, _shard }.Select(settings => (kind, settings))))
        {
            var ranks = InMemoryRanks.Run(2, context =>
            {
                var state = new GradientState();
                var loader = (IEnumerable<Tensor>)LoaderPreparation.PrepareAny(
                    Make(kind, 24, 4, dropLast: false), new LoaderBinding(context, state, configuration, devicePlacement: true));
                Assert.Equal(context.Rank * 4L, loader.Select(batch => batch[0].item<long>()).First());
                Assert.False(state.InDataLoader);
                return Epoch(loader, state);
            });
            Assert.Equal("[0,1,2,3],[8,9,10,11],[16,17,18,19]", Show(ranks[0]));
            Assert.Equal("[4,5,6,7],[12,13,14,15],[20,21,22,23]", Show(ranks[1]));
        }
    }

    [Fact]
    public void Even_batches_can_be_switched_between_epochs()
    {
        foreach (var kind in new[] { "tensor", "torch" })
        {
            var counts = InMemoryRanks.Run(2, context =>
            {
                var binding = new LoaderBinding(context, new GradientState(), _default, devicePlacement: true);
                var loader = LoaderPreparation.PrepareAny(Make(kind, 12, 4, dropLast: false), binding);
                LoaderPreparation.BindingOf(loader)!.EvenBatches = false;
                var uneven = Epoch(loader, binding.State).Count;
                binding.EvenBatches = true;
                return (uneven, Epoch(loader, binding.State).Count);
            });
            Assert.Equal([(2, 2), (1, 2)], counts);
        }
    }

    [Fact]
    public void Structures_survive_the_way_to_another_rank()
    {
        var ranks = InMemoryRanks.Run(2, context =>
        {
            IEnumerable<Dictionary<string, Tensor>> source = Enumerable.Range(0, 4)
                .Select(i => new Dictionary<string, Tensor> { ["ids"] = full([2, 3], i, ScalarType.Int64), ["labels"] = full([2], i, ScalarType.BFloat16) });
            var loader = LoaderPreparation.PrepareAny(source, new LoaderBinding(context, new GradientState(), _default, true));
            return loader.Select(batch => (batch["ids"].sum().item<long>(), batch["ids"].shape[0], batch["labels"].dtype)).ToArray();
        });
        Assert.Equal([(0, 2, ScalarType.BFloat16), (12, 2, ScalarType.BFloat16)], ranks[0]);
        Assert.Equal([(6, 2, ScalarType.BFloat16), (18, 2, ScalarType.BFloat16)], ranks[1]);
    }

    [Fact]
    public void What_cannot_be_prepared_is_explained()
    {
        var binding = new LoaderBinding(SingleProcessContext.Cpu, new GradientState(), _default, devicePlacement: true);
        Assert.False(LoaderPreparation.IsLoader("text"));
        Assert.False(LoaderPreparation.IsLoader(new List<int> { 1 }));
        Assert.True(LoaderPreparation.IsLoader<IEnumerable<Tensor>>(new List<Tensor>()));
        var error = Assert.Throws<ArgumentException>(() => LoaderPreparation.PrepareAny(new List<Tensor>(), binding));
        Assert.Contains("List`1", error.Message, StringComparison.Ordinal);

        InMemoryRanks.Run(2, context =>
        {
            var odd = new LoaderBinding(context, new GradientState(), _split, devicePlacement: true);
            Assert.Throws<ArgumentException>(() => LoaderPreparation.PrepareAny(Make("tensor", 10, 3, false), odd));
            Assert.Throws<ArgumentException>(() => LoaderPreparation.PrepareAny(Make("torch", 10, 3, false), odd));
            var nowhere = new LoaderBinding(context, new GradientState(), _dispatch, devicePlacement: false);
            Assert.Throws<ArgumentException>(() => LoaderPreparation.PrepareAny(Make("tensor", 10, 3, false), nowhere));
            return Assert.Throws<ArgumentException>(() => LoaderPreparation.PrepareAny(Make("torch", 10, 3, false), nowhere));
        });
    }

    [Fact]
    public void The_length_a_user_sees_of_torch_sharps_loader()
    {
        InMemoryRanks.Run(4, context =>
        {
            var numbers = new Numbers(70);
            using var loader = LoaderPreparation.Prepare(
                new DataLoader<Tensor, Tensor>(numbers, 8, Collate), new LoaderBinding(context, new GradientState(), _default, true));
            Assert.Equal((3, 32, 70), (loader.Count, loader.batch_size, loader.dataset.Count));
            Assert.Same(numbers, loader.dataset);
            using var dropping = LoaderPreparation.Prepare(
                new DataLoader<Tensor, Tensor>(numbers, 8, Collate, drop_last: true), new LoaderBinding(context, new GradientState(), _default, true));
            Assert.Equal((2, 32, 64), (dropping.Count, dropping.batch_size, dropping.dataset.Count));
            using var split = LoaderPreparation.Prepare(
                new DataLoader<Tensor, Tensor>(numbers, 8, Collate), new LoaderBinding(context, new GradientState(), _split, true));
            Assert.Equal((9, 8, 70), (split.Count, split.batch_size, split.dataset.Count));
            using (LoaderPreparation.SkipFirst(split, 2))
            {
            }
            Assert.False(numbers.IsDisposed);
            return 0;
        });
    }

    internal sealed record Seen(long[] Values, bool IsLast, int Remainder);

    internal static object Make(string kind, int n, int batchSize, bool dropLast)
    {
        var order = Enumerable.Range(0, n).Select(i => (long)i).ToArray();
        var batches = order.Chunk(batchSize).Select(batch => tensor(batch));
        return kind switch
        {
            "tensor" => BatchLoader.FromTensor(arange(n, ScalarType.Int64), batchSize, dropLast: dropLast),
            "shuffled tensor" => BatchLoader.FromTensor(arange(n, ScalarType.Int64), batchSize, shuffle: true, dropLast: dropLast),
            "dataset" => BatchLoader.FromDataset(order, batchSize, samples => tensor(samples.ToArray()), dropLast: dropLast),
            "workers" => BatchLoader.FromDataset(order, batchSize, samples => tensor(samples.ToArray()), dropLast: dropLast, workers: 3),
            "torch" => new DataLoader<Tensor, Tensor>(new Numbers(n), batchSize, Collate, drop_last: dropLast),
            "shuffled torch" => new DataLoader<Tensor, Tensor>(new Numbers(n), batchSize, Collate, shuffle: true),
            "samples" => BatchLoader.FromSamples(order.Select(i => tensor(i)), batchSize, samples => stack(samples), dropLast),
            "samples ahead" => BatchLoader.FromSamples(order.Select(i => tensor(i)), batchSize, samples => stack(samples), dropLast, prefetch: 2),
            "batches" => BatchLoader.FromBatches(batches),
            "batches ahead" => BatchLoader.FromBatches(batches, prefetch: 2),
            "async" => BatchLoader.FromAsync(Yielding(batches)),
            _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, null),
        };
    }

    internal static List<Seen> Epoch(object loader, GradientState state) => [.. ((IEnumerable<Tensor>)loader).Select(batch =>
        new Seen(batch.data<long>().ToArray(), state.EndOfDataLoader, state.Remainder))];

    internal static Tensor Collate(IEnumerable<Tensor> samples, Device device) => stack(samples).to(device);

    internal static string Show(List<Seen> batches) => string.Join(',', batches.Select(batch => $"[{string.Join(',', batch.Values)}]"));

    private static long[] GatherForMetrics(List<Seen> batches, IDataParallelContext context) => [.. context.AllGatherObject(batches) switch
    {
        var ranks => Enumerable.Range(0, ranks.Max(rank => rank.Count)).SelectMany(step =>
        {
            var present = ranks.Where(rank => step < rank.Count).Select(rank => rank[step]).ToArray();
            var all = present.SelectMany(batch => batch.Values);
            return present[0] is { IsLast: true, Remainder: > 0 } last ? all.Take(last.Remainder) : all;
        }),
    }];

    private static long? CountOf(object loader) => loader switch
    {
        BatchLoader<Tensor> batches => batches.TryGetCount(out var count) ? count : null,
        DataLoader<Tensor, Tensor> torchLoader => torchLoader.Count,
        _ => null,
    };

    private static async IAsyncEnumerable<Tensor> Yielding(IEnumerable<Tensor> batches)
    {
        foreach (var batch in batches)
        {
            await Task.Yield();
            yield return batch;
        }
    }

    private static DataLoaderConfiguration Configuration(string name) => name switch
    {
        "default" => _default,
        "split" => _split,
        "uneven" => _uneven,
        "dispatch" => _dispatch,
        "dispatch split" => _dispatchSplit,
        "shard" => _shard,
        "shard split" => _shardSplit,
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, null),
    };
}

using System.Runtime.CompilerServices;
using AccelerateSharp.Data;
using AccelerateSharp.Tests.Interop;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Data;

/// <summary>What a loop over a loader costs and leaves behind. Counts live tensors of the whole process.</summary>
[Collection(ProcessWideCounters.Name)]
public sealed class BatchLoaderTests
{
    private readonly GradientState _state = new();

    public static TheoryData<string> Kinds =>
        ["tensor", "dataset", "workers", "torch", "samples", "samples ahead", "batches", "batches ahead", "async"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_plain_loop_keeps_the_number_of_live_tensors_flat(string kind)
    {
        var loader = (IEnumerable<Tensor>)Prepare(PreparedLoaderTests.Make(kind, 2_000, 2, dropLast: false));
        var before = SettledCount();
        var batches = 0;
        var most = 0L;
        foreach (var batch in loader)
        {
            var loss = ((batch + 1) * 2).sum();
            Assert.True(loss.item<long>() > 0);
            if (++batches == 20) most = Tensor.TotalCount + Ahead(kind);
            if (batches > 20) Assert.True(Tensor.TotalCount <= most, $"{Tensor.TotalCount} live tensors at batch {batches}, {most} at batch 20");
        }
        Assert.Equal(1_000, batches);
        Assert.Equal(before, Tensor.TotalCount);

        // What threads that read ahead may hold at one moment and not at another: batches, and samples being joined.
        static int Ahead(string kind) => kind switch { "workers" => 30, "samples ahead" or "batches ahead" => 30, "torch" => 8, _ => 0 };
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_loop_that_ends_early_leaves_nothing_behind(string kind)
    {
        var loader = (IEnumerable<Tensor>)Prepare(PreparedLoaderTests.Make(kind, 100, 4, dropLast: false));
        var before = SettledCount();
        foreach (var batch in loader)
        {
            Assert.True(_state.InDataLoader);
            if (batch.sum().item<long>() > 50) break;
        }
        Assert.False(_state.InDataLoader);
        Assert.Throws<InvalidTimeZoneException>(() =>
        {
            foreach (var batch in loader) throw new InvalidTimeZoneException(batch.ToString());
        });
        Assert.False(_state.InDataLoader);
        Assert.Equal((-1, false), (_state.Remainder, _state.EndOfDataLoader));
        Assert.Equal(before, Tensor.TotalCount);
    }

    [Fact]
    public void A_nested_loop_hides_the_outer_loader_and_uncovers_it()
    {
        var outer = (IEnumerable<Tensor>)Prepare(PreparedLoaderTests.Make("tensor", 6, 4, dropLast: false));
        var inner = (IEnumerable<Tensor>)Prepare(PreparedLoaderTests.Make("torch", 5, 2, dropLast: false));
        var seen = new List<(bool Outer, bool Inner, bool After)>();
        foreach (var outerBatch in outer)
        {
            var before = _state.EndOfDataLoader;
            var ends = false;
            foreach (var innerBatch in inner)
            {
                ends = _state.EndOfDataLoader;
                if (seen.Count == 1) break;
            }
            seen.Add((before, ends, _state.EndOfDataLoader));
        }
        Assert.Equal([(false, true, false), (true, false, true)], seen);
    }

    [Fact]
    public void An_enumerator_that_was_dropped_does_not_hide_the_loader_around_it()
    {
        Drop();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        Assert.False(_state.InDataLoader);

        [MethodImpl(MethodImplOptions.NoInlining)]
        void Drop()
        {
            using var scope = NewDisposeScope();
            var configuration = new DataLoaderConfiguration { DisposeScopePerBatch = false };
            var loader = Prepare(BatchLoader.FromTensor(arange(9), 2), configuration);
            var enumerator = loader.GetEnumerator();
            Assert.True(enumerator.MoveNext());
            Assert.True(_state.InDataLoader);
        }
    }

    [Fact]
    public void Tensors_can_be_kept_beyond_their_batch_or_all_be_left_to_the_caller()
    {
        using var scope = NewDisposeScope();
        var loader = Prepare(BatchLoader.FromTensor(arange(6), 2));
        var kept = new List<Tensor>();
        Tensor? freed = null;
        foreach (var batch in loader)
        {
            freed = batch + 1;
            kept.Add(batch.MoveToOuterDisposeScope());
            kept.Add((batch * 2).MoveToOuterDisposeScope());
        }
        Assert.True(freed!.IsInvalid);
        Assert.Equal([0, 1, 0, 2, 2, 3, 4, 6, 4, 5, 8, 10], kept.SelectMany(tensor => tensor.data<long>().ToArray()));

        var manual = Prepare(BatchLoader.FromTensor(arange(6), 2), new DataLoaderConfiguration { DisposeScopePerBatch = false });
        Assert.Equal(15, manual.ToList().Sum(batch => batch.sum().item<long>()));
    }

    [Fact]
    public void Tensors_that_a_sequence_keeps_stay_alive()
    {
        using var scope = NewDisposeScope();
        IEnumerable<Tensor> stored = Prepare<IEnumerable<Tensor>>(new List<Tensor> { arange(2), arange(3) });
        for (var epoch = 0; epoch < 2; epoch++)
            Assert.Equal([1, 3], stored.Select(batch => batch.sum().item<long>()));
        Assert.Equal([3, 3, 3, 3, 3], Prepare(BatchLoader.FromGenerator(Repeat)).Select(batch => batch.sum().item<long>()));

        static IEnumerable<Tensor> Repeat()
        {
            var one = arange(3);
            for (var i = 0; i < 5; i++) yield return one;
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public void A_sample_that_cannot_be_read_is_named(int workers)
    {
        var before = SettledCount();
        var numbers = new Numbers(40) { Broken = 21 };
        var loader = Prepare(BatchLoader.FromFunction(40, numbers.GetTensor, 4, samples => stack(samples), workers: workers));
        var read = new List<long>();
        var error = Assert.Throws<DataLoadingException>(() =>
        {
            foreach (var batch in loader) read.AddRange(batch.data<long>());
        });
        Assert.Equal(21, error.SampleIndex);
        Assert.Contains("21", error.Message, StringComparison.Ordinal);
        Assert.Equal("unreadable", error.InnerException!.Message);
        Assert.Equal(Enumerable.Range(0, 20).Select(i => (long)i), read);
        Assert.False(_state.InDataLoader);
        Assert.Equal(before, Tensor.TotalCount);
        var collating = BatchLoader.FromDataset<int, Tensor>([1, 2, 3], 2, _ => throw new InvalidOperationException("ragged"), workers: workers);
        Assert.Contains("ragged", Assert.Throws<DataLoadingException>(() => collating.First()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Workers_are_a_bounded_number_of_batches_ahead()
    {
        var loaded = 0;
        var consumed = 0;
        var loader = BatchLoader.FromFunction(400, index => index, 4, samples =>
        {
            Interlocked.Increment(ref loaded);
            return tensor(samples.ToArray());
        }, workers: 3, prefetch: 2);
        foreach (var batch in loader)
        {
            consumed++;
            var expected = Math.Min(100, consumed + 3 * 2);
            // They do run ahead, and never further.
            Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref loaded) == expected, TimeSpan.FromSeconds(20)));
            Assert.Equal(4L * (consumed - 1), batch[0].item<long>());
        }
        Assert.Equal(100, loaded);
    }

    [Fact]
    public void A_stream_read_ahead_is_bounded()
    {
        var loaded = 0;
        var consumed = 0;
        foreach (var batch in BatchLoader.FromGenerator(Count, prefetch: 3))
        {
            consumed++;
            // Behind the batch in hand: the one that is looked ahead to, three that wait, one that the reader is about to add.
            var expected = Math.Min(50, consumed + 1 + 3 + 1);
            Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref loaded) == expected, TimeSpan.FromSeconds(20)), $"{loaded}, not {expected}");
            Assert.Equal(consumed, batch.item<int>());
        }
        Assert.Equal(50, consumed);

        IEnumerable<Tensor> Count()
        {
            for (var i = 1; i <= 50; i++)
            {
                Interlocked.Increment(ref loaded);
                yield return tensor(i);
            }
        }
    }

    [Fact]
    public void Without_workers_only_the_batch_in_hand_is_loaded()
    {
        var numbers = new Numbers(12);
        var consumed = 0;
        foreach (var _ in Prepare(BatchLoader.FromFunction(12, numbers.GetTensor, 3, samples => stack(samples))))
            Assert.Equal(3 * ++consumed, numbers.Reads);
        // Skipping reads nothing either.
        var before = numbers.Reads;
        Assert.Single(Prepare(BatchLoader.FromFunction(12, numbers.GetTensor, 3, samples => stack(samples))).SkipFirst(3));
        Assert.Equal(before + 3, numbers.Reads);
    }

    [Fact]
    public async Task An_asynchronous_loop_frees_its_batches_and_can_be_cancelled()
    {
        var before = SettledCount();
        foreach (var kind in new[] { "dataset", "workers", "async", "batches ahead" })
        {
            var loader = (BatchLoader<Tensor>)Prepare(PreparedLoaderTests.Make(kind, 40, 4, dropLast: false));
            var sum = 0L;
            var last = false;
            await foreach (var batch in loader)
            {
                using var total = batch.sum();
                sum += total.item<long>();
                last = _state.EndOfDataLoader;
                await Task.Yield();
            }
            Assert.Equal((780, true), (sum, last));
            using var source = new CancellationTokenSource();
            var seen = 0;
            await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
            {
                var enumerator = loader.GetAsyncEnumerator(source.Token);
                await using (enumerator)
                {
                    while (await enumerator.MoveNextAsync())
                        if (++seen == 2) await source.CancelAsync();
                }
            });
            Assert.InRange(seen, 2, 9);
            Assert.False(_state.InDataLoader);
        }
        IAsyncEnumerable<Tensor> stream = Prepare(Yielding());
        var lengths = new List<long>();
        await foreach (var batch in stream) lengths.Add(batch.shape[0]);
        Assert.Equal([1, 2, 3], lengths);
        Assert.True(SpinWait.SpinUntil(() => Tensor.TotalCount == before, TimeSpan.FromSeconds(20)), $"{Tensor.TotalCount} live tensors, {before} before");

        static async IAsyncEnumerable<Tensor> Yielding()
        {
            for (var i = 1; i <= 3; i++)
            {
                await Task.Yield();
                yield return ones(i);
            }
        }
    }

    [Fact]
    public void Variables_keep_their_types()
    {
        DataLoader dictionaries = Prepare(new DataLoader(new Words(), 2));
        Assert.Equal([2, 1], dictionaries.Select(batch => batch["word"].shape[0]));
        IterableDataLoader lists = Prepare(new IterableDataLoader(new Letters(), 2));
        Assert.Equal([2, 1], lists.Select(batch => batch[0].shape[0]));
        BatchLoader<(Tensor Inputs, Tensor Targets)> pairs = Prepare(BatchLoader.FromTensors(arange(3), arange(3) * 2, 2));
        foreach (var (inputs, targets) in pairs) Assert.True((inputs * 2).Equals(targets));
        Assert.Equal((2, 2, 2), (pairs.Count, pairs.BatchSize, pairs.TotalBatchSize));
        IEnumerable<Tensor[]> arrays = Prepare<IEnumerable<Tensor[]>>([[ones(2)], [ones(3)]]);
        Assert.Equal(5, arrays.Sum(batch => batch[0].sum().item<float>()));
        Assert.Throws<ArgumentException>(() => BatchLoader.FromTensors(ones(2), ones(3), 2));
        Assert.Throws<InvalidOperationException>(() => BatchLoader.FromGenerator<Tensor>(() => []).Count);
    }

    /// <summary>Live tensors, without those of earlier tests that only wait for the garbage collector.</summary>
    private static long SettledCount()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        return Tensor.TotalCount;
    }

    private TLoader Prepare<TLoader>(TLoader loader, DataLoaderConfiguration? configuration = null) => LoaderPreparation.PrepareAny(
        loader, new LoaderBinding(SingleProcessContext.Cpu, _state, configuration ?? new DataLoaderConfiguration(), devicePlacement: true));

    private sealed class Words : utils.data.Dataset
    {
        public override long Count => 3;

        public override Dictionary<string, Tensor> GetTensor(long index) => new() { ["word"] = tensor(index) };
    }

    private sealed class Letters : utils.data.IterableDataset
    {
        public override long Count => 3;

        public override IList<Tensor> GetTensor(long index) => [tensor(index)];
    }
}

using System.Text;
using AccelerateSharp.Rendezvous;
using CsCheck;

namespace AccelerateSharp.Core.Tests.Rendezvous;

public sealed class StoreSemanticsTests : IDisposable
{
    private readonly ServedStore _served = new();
    private readonly LocalStore _local = new();

    public static TheoryData<bool> Served => [true, false];

    [Theory]
    [MemberData(nameof(Served))]
    public void A_value_is_read_as_it_was_written_and_gone_when_deleted(bool served)
    {
        var store = Store(served);
        Assert.Null(store.TryGet("a"));
        Assert.False(store.Delete("a"));
        byte[] value = [1, 0, 255];
        store.Set("a", value);
        value[0] = 9; // the store holds its own copy
        Assert.Equal([1, 0, 255], store.TryGet("a")!);
        store.Set("a", []);
        Assert.Equal([], store.TryGet("a")!);
        Assert.True(store.Delete("a"));
        Assert.Null(store.TryGet("a"));
    }

    [Theory]
    [MemberData(nameof(Served))]
    public void A_counter_starts_at_zero_and_is_text(bool served)
    {
        var store = Store(served);
        Assert.Equal(3, store.Add("n", 3));
        Assert.Equal(-2, store.Add("n", -5));
        Assert.Equal("-2", Encoding.ASCII.GetString(store.TryGet("n")!));
        store.Set("text", "four"u8.ToArray());
        var error = Assert.Throws<InvalidOperationException>(() => store.Add("text", 1));
        Assert.Contains("text", error.Message, StringComparison.Ordinal);
        Assert.Equal("four"u8.ToArray(), store.TryGet("text")!);
    }

    [Theory]
    [MemberData(nameof(Served))]
    public void Compare_and_set_writes_only_over_what_was_expected(bool served)
    {
        var store = Store(served);
        Assert.False(store.CompareAndSet("a", [1], [2]));
        Assert.True(store.CompareAndSet("a", null, [1]));
        Assert.False(store.CompareAndSet("a", null, [2]));
        Assert.False(store.CompareAndSet("a", [1, 1], [2]));
        Assert.True(store.CompareAndSet("a", [1], []));
        Assert.True(store.CompareAndSet("a", [], [3]));
        Assert.Equal([3], store.TryGet("a")!);
    }

    [Theory]
    [MemberData(nameof(Served))]
    public async Task Waiters_wake_with_the_write(bool served)
    {
        var store = Store(served);
        var waits = Enumerable.Range(0, 4)
            .Select(_ => Task.Factory.StartNew(() => store.Wait("late", ServedStore.Patience), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default))
            .ToArray();
        store.Set("late", [7]);
        foreach (var value in await Task.WhenAll(waits)) Assert.Equal([7], value);
        Assert.Equal([7], store.Wait("late", TimeSpan.Zero, TestContext.Current.CancellationToken));
    }

    [Theory]
    [MemberData(nameof(Served))]
    public void A_wait_ends_by_time_out_or_cancellation(bool served)
    {
        var store = Store(served);
        var error = Assert.Throws<TimeoutException>(() => store.Wait("never", TimeSpan.FromMilliseconds(20), TestContext.Current.CancellationToken));
        Assert.Contains("never", error.Message, StringComparison.Ordinal);
        using var cancelled = new CancellationTokenSource(TimeSpan.FromMilliseconds(20));
        Assert.ThrowsAny<OperationCanceledException>(() => store.Wait("never", ServedStore.Patience, cancelled.Token));
    }

    [Theory]
    [MemberData(nameof(Served))]
    public void Too_large_keys_and_values_are_refused_before_they_travel(bool served)
    {
        var store = Store(served);
        Assert.Throws<ArgumentException>(() => store.Set(new string('k', StoreLimits.MaxKeyBytes + 1), []));
        Assert.Throws<ArgumentException>(() => store.Set("", []));
        Assert.Throws<ArgumentException>(() => store.Set("big", new byte[StoreLimits.MaxValueBytes + 1]));
        var largest = new byte[StoreLimits.MaxValueBytes];
        largest[^1] = 5;
        store.Set("big", largest);
        Assert.True(store.CompareAndSet("big", largest, [1]));
    }

    [Fact]
    public void Any_text_is_a_key_and_any_bytes_are_a_value()
    {
        var store = _served.NewClient();
        var key = Gen.String[1, 40].Where(text => new UTF8Encoding(false, true) is var strict && IsValid(strict, text));
        Gen.Select(key, Gen.Byte.Array[0, 300]).Sample(
            (name, value) =>
            {
                store.Set(name, value);
                return store.TryGet(name)!.AsSpan().SequenceEqual(value);
            },
            iter: 300, threads: 1);

        static bool IsValid(UTF8Encoding strict, string text)
        {
            try
            {
                return strict.GetByteCount(text) <= StoreLimits.MaxKeyBytes;
            }
            catch (EncoderFallbackException)
            {
                return false;
            }
        }
    }

    /// <summary>Random programs of operations leave the served store, the local store and a plain dictionary with the same answers.</summary>
    [Fact]
    public void Served_and_local_store_agree_with_a_dictionary()
    {
        var operation = Gen.Select(Gen.Int[0, 4], Gen.Int[0, 2], Gen.Int[-2, 2]);
        var program = 0;
        operation.Array[1, 12].Sample(
            operations =>
            {
                var scope = $"program {Interlocked.Increment(ref program)}/";
                var served = _served.NewClient();
                var model = new Dictionary<string, string>();
                return operations.All(o =>
                {
                    var key = scope + o.Item2;
                    var expected = Model(model, o.Item1, key, o.Item3);
                    return expected == Run(served, o.Item1, key, o.Item3) && expected == Run(_local, o.Item1, key, o.Item3);
                });
            },
            iter: 30, threads: 1);
    }

    [Fact]
    public void Many_clients_add_and_compare_at_once_and_nothing_is_lost()
    {
        const int Clients = 8, Rounds = 25;
        var clients = Enumerable.Range(0, Clients).Select(_ => _served.NewClient()).ToArray();
        var threads = clients.Select(client => new Thread(() =>
        {
            for (var round = 0; round < Rounds; round++)
            {
                client.Add("added", 1);
                while (true)
                {
                    var seen = client.TryGet("compared");
                    var next = (seen is null ? 0 : BitConverter.ToInt32(seen)) + 1;
                    if (client.CompareAndSet("compared", seen, BitConverter.GetBytes(next))) break;
                }
            }
        })).ToArray();
        foreach (var thread in threads) thread.Start();
        foreach (var thread in threads) thread.Join();
        Assert.Equal(Clients * Rounds, clients[0].Add("added", 0));
        Assert.Equal(Clients * Rounds, BitConverter.ToInt32(clients[0].TryGet("compared")!));
    }

    [Fact]
    public void Attempts_of_the_job_do_not_see_each_others_keys()
    {
        var first = _served.NewClient(generation: 0);
        var second = _served.NewClient(generation: 1);
        first.Set("a", [1]);
        Assert.Null(second.TryGet("a"));
    }

    [Fact]
    public async Task All_arrive_or_the_missing_are_named()
    {
        var all = Enumerable.Range(0, 3).Select(rank => Task.Factory.StartNew(
            () => _served.NewClient().WaitForAll("here", rank, 3, ServedStore.Patience),
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default));
        await Task.WhenAll(all);
        var error = Assert.Throws<TimeoutException>(() => _served.NewClient().WaitForAll("there", 1, 4, TimeSpan.FromMilliseconds(50)));
        Assert.Contains("ranks 0, 2, 3 of 4", error.Message, StringComparison.Ordinal);
    }

    public void Dispose()
    {
        _served.Dispose();
        _local.Dispose();
    }

    private IRendezvousStore Store(bool served) => served ? _served.NewClient() : _local;

    private static string Model(Dictionary<string, string> model, int what, string key, int number)
    {
        switch (what)
        {
            case 0:
                model[key] = $"{number}";
                return "";
            case 1:
                return model.GetValueOrDefault(key, "none");
            case 2:
                return model[key] = $"{(model.TryGetValue(key, out var text) ? int.Parse(text, null) : 0) + number}";
            case 3:
                var matches = model.GetValueOrDefault(key) == (number < 0 ? null : $"{number}");
                if (matches) model[key] = "8";
                return $"{matches}";
            default:
                return $"{model.Remove(key)}";
        }
    }

    private static string Run(IRendezvousStore store, int what, string key, int number)
    {
        switch (what)
        {
            case 0:
                store.Set(key, Encoding.ASCII.GetBytes($"{number}"));
                return "";
            case 1:
                return store.TryGet(key) is { } value ? Encoding.ASCII.GetString(value) : "none";
            case 2:
                return $"{store.Add(key, number)}";
            case 3:
                return $"{store.CompareAndSet(key, number < 0 ? null : Encoding.ASCII.GetBytes($"{number}"), "8"u8.ToArray())}";
            default:
                return $"{store.Delete(key)}";
        }
    }
}

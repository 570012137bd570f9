using AccelerateSharp.Distributed;
using AccelerateSharp.Distributed.Nccl;
using AccelerateSharp.Rendezvous;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Distributed.Nccl;

/// <summary>The ranks of one group in this process: what a watchdog needs, and no GPU.</summary>
internal sealed class TestGroup : IDisposable
{
    private readonly LocalStore _store = new();

    public TestGroup(int size, TimeSpan? timeout = null)
    {
        var ranks = Enumerable.Range(0, size).Select(rank => 10 + rank).ToArray();
        Members = [.. ranks.Select((_, rank) => new Member(_store, rank, ranks, timeout ?? TimeSpan.FromMinutes(10)))];
    }

    public IReadOnlyList<Member> Members { get; }

    public static CollectiveCall Call(CollectiveKind kind, long sequenceNumber, params long[] shape)
    {
        var call = new CollectiveCall { Kind = kind, SequenceNumber = sequenceNumber, Dtype = ScalarType.Float32, Shape = shape };
        using var tensor = zeros(shape);
        call.Outputs = [call.TakeOutput(tensor, isRead: true)];
        return call;
    }

    public void Dispose()
    {
        foreach (var member in Members) member.Context.Health.Dispose();
    }

    internal sealed class Member
    {
        public Member(IRendezvousStore store, int rank, int[] ranks, TimeSpan timeout)
        {
            // Each rank has a process of its own in real life: the names keep one's failure from reaching the other by the short way.
            Context = new GroupContext
            {
                Name = "world",
                Rank = rank,
                Ranks = ranks,
                Store = store,
                Timeout = timeout,
                Health = new GroupHealth($"world-{rank}", rank, ranks, timeout, store),
            };
            Watchdog = new NcclWatchdog(Context, new NcclJournal(Context), () => AsyncError, () => Now);
        }

        public GroupContext Context { get; }

        public NcclWatchdog Watchdog { get; }

        public string? AsyncError { get; set; }

        public long Now { get; set; }

        public (NcclWork Work, FakeEvent End) Start(CollectiveCall call, nint stream = 0)
        {
            var work = new NcclWork(call, Context.Health, () => stream) { StartedAt = Now };
            Watchdog.Add(work);
            var end = new FakeEvent();
            work.Launched(end, stream);
            return (work, end);
        }
    }
}

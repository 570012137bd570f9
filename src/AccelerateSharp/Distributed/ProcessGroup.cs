using AccelerateSharp.Distributed;
using AccelerateSharp.Rendezvous;
using TorchSharp;

namespace AccelerateSharp;

/// <summary>Processes that exchange tensors with collective operations.</summary>
/// <remarks>
/// Every member must call the same operations in the same order. Roots and peers are ranks within the group. Each operation has a blocking
/// form and an asynchronous one that returns a <see cref="Work"/>. Any shape works, also 0-d, empty and non-contiguous tensors. After a
/// failure the group is broken: every later call throws the first cause.
/// </remarks>
public sealed partial class ProcessGroup : IDisposable
{
    private readonly GroupContext _context;
    private readonly CollectiveBackend _backend;
    private int _subGroups;
    private bool _disposed;

    internal ProcessGroup(GroupContext context, CollectiveBackend backend)
    {
        _context = context;
        _backend = backend;
    }

    /// <summary>The engine: <c>gloo</c> (CPU tensors) or <c>nccl</c> (CUDA tensors).</summary>
    public string Backend => _backend.Name;

    /// <summary>This process's rank within the group.</summary>
    public int Rank => _context.Rank;

    /// <summary>How many processes the group has.</summary>
    public int Size => _context.Size;

    /// <summary>The members' global ranks, by rank within the group.</summary>
    public IReadOnlyList<int> Ranks => _context.Ranks;

    /// <summary>The longest that an operation may take before it fails with a <see cref="CollectiveTimeoutException"/>.</summary>
    public TimeSpan Timeout => _context.Timeout;

    /// <summary>Where the tensors of its operations live.</summary>
    internal torch.Device Device => new(_backend.DeviceType, _backend.DeviceIndex);

    internal GroupHealth Health => _context.Health;

    /// <summary>Joins the group of all processes of a job; returns when every member is connected.</summary>
    /// <param name="backend">"gloo" or "nccl".</param>
    /// <param name="store">Where the members find each other; it stays the caller's and must outlive the group.</param>
    /// <param name="rank">This process's global rank.</param>
    /// <param name="size">The number of processes.</param>
    /// <param name="timeout">For joining and for each operation; the backend's default where null.</param>
    /// <param name="name">Unique among the groups of the store.</param>
    /// <param name="device">For nccl the GPU of this process; <c>cuda:0</c> where null.</param>
    internal static ProcessGroup Create(
        string backend, IRendezvousStore store, int rank, int size, TimeSpan? timeout = null, string name = "world", torch.Device? device = null) =>
        Create(name, rank, [.. Enumerable.Range(0, size)], timeout ?? BackendFactory.DefaultTimeout(backend), store, c => BackendFactory.Create(backend, c, Math.Max(device?.index ?? 0, 0)));

    /// <summary>Makes a group of some of this group's ranks. Every rank of this group must call it, with the same list.</summary>
    /// <param name="ranks">Ranks within this group, each once; their order gives the ranks within the new group.</param>
    /// <returns>The new group, which runs independently of this one; null on ranks that are not in it.</returns>
    /// <exception cref="CollectiveMismatchException">The ranks passed different lists.</exception>
    public ProcessGroup? CreateSubGroup(IReadOnlyList<int> ranks)
    {
        ArgumentNullException.ThrowIfNull(ranks);
        if (ranks.Count == 0 || ranks.Distinct().Count() != ranks.Count || ranks.Any(r => r < 0 || r >= Size))
            throw new ArgumentException($"A sub-group needs at least one rank, each once and between 0 and {Size - 1}; got [{string.Join(", ", ranks)}].", nameof(ranks));
        var lists = AllGatherObject(ranks.ToArray());
        var number = ++_subGroups;
        if (lists.Any(l => !l.SequenceEqual(ranks)))
        {
            var all = string.Join("; ", lists.Select((l, r) => $"rank {Ranks[r]}: [{string.Join(", ", l)}]"));
            throw Health.Fail(
                new CollectiveMismatchException($"Rank {_context.GlobalRank}: the ranks want different sub-groups. {all}. Every rank must pass the same list, also those that are not in it.")
                {
                    Rank = _context.GlobalRank,
                    Shapes = all,
                },
                publish: false).Copy();
        }
        var index = ranks.ToList().IndexOf(Rank);
        return index < 0
            ? null
            : Create($"{_context.Name}/{number}", index, [.. ranks.Select(r => Ranks[r])], Timeout, _context.Store, _backend.CreateSubGroup);
    }

    /// <summary>Leaves the group in good order. Pending operations are ended; tensors are left as they are.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _backend.Dispose();
        _context.Health.Dispose();
    }

    private static ProcessGroup Create(
        string name, int rank, int[] ranks, TimeSpan timeout, IRendezvousStore store, Func<GroupContext, CollectiveBackend> createBackend)
    {
        if (timeout <= TimeSpan.Zero || timeout > TimeSpan.FromDays(30))
            throw new ArgumentOutOfRangeException(nameof(timeout), timeout, "A group's time-out must be positive and at most 30 days.");
        var health = new GroupHealth(name, rank, ranks, timeout, store);
        try
        {
            var context = new GroupContext { Name = name, Rank = rank, Ranks = ranks, Store = store, Timeout = timeout, Health = health };
            return new ProcessGroup(context, createBackend(context));
        }
        catch
        {
            health.Dispose();
            throw;
        }
    }
}

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>The ranks as a grid: each row shares one copy of the model, each column holds the same part of it.</summary>
internal sealed class ShardingMesh : IDisposable
{
    private readonly List<ProcessGroup> _owned = [];

    private ShardingMesh(ProcessGroup? world) => World = world;

    /// <summary>All ranks; null in a job of one process.</summary>
    public ProcessGroup? World { get; }

    /// <summary>The ranks among which parameters are divided; null where this rank holds all of them.</summary>
    public ProcessGroup? Shard { get; private set; }

    /// <summary>The ranks that hold the same part as this one; null where there is no other.</summary>
    public ProcessGroup? Replicas { get; private set; }

    /// <summary>Part of <see cref="Shard"/> that keeps a unit between forward and backward, where that is a smaller group.</summary>
    public ProcessGroup? Reshard { get; private set; }

    public int Rank => World?.Rank ?? 0;

    public int ShardCount => Shard?.Size ?? 1;

    /// <summary>Which part this rank holds.</summary>
    public int ShardIndex => Shard?.Rank ?? 0;

    /// <summary>Which part another rank holds: rows are neighbours.</summary>
    public int ShardIndexOf(int rank) => rank % ShardCount;

    /// <summary>Makes the groups. A collective: every rank calls it with the same numbers.</summary>
    /// <param name="world">All ranks.</param>
    /// <param name="shardSize">Ranks of one row; all where null.</param>
    /// <param name="reshardSize">Ranks that keep a unit between forward and backward; the row where null.</param>
    /// <exception cref="ArgumentException">The numbers do not divide each other.</exception>
    public static ShardingMesh Create(ProcessGroup? world, int? shardSize, int? reshardSize)
    {
        var mesh = new ShardingMesh(world);
        if (world is null) return mesh;
        var row = shardSize ?? world.Size;
        if (row < 1 || world.Size % row != 0)
            throw new ArgumentException($"Sharding: groups of {row} ranks do not divide the job's {world.Size}. Choose a shard group size that does.", nameof(shardSize));
        mesh.Shard = mesh.Find(world, world.Size / row, row, static (row, i, size) => (row * size) + i);
        mesh.Replicas = mesh.Find(world, row, world.Size / row, (column, i, _) => (i * row) + column);
        if (reshardSize is not { } part || part == row) return mesh;
        if (part < 1 || part > row || row % part != 0)
            throw new ArgumentException($"Sharding: reshard_after_forward of {part} ranks does not divide the shard group's {row}.", nameof(reshardSize));
        mesh.Reshard = mesh.Find(world, world.Size / part, part, static (row, i, size) => (row * size) + i);
        return mesh;
    }

    public void Dispose()
    {
        foreach (var group in _owned) group.Dispose();
        _owned.Clear();
    }

    /// <summary>Cuts the world into groups and returns this rank's; every rank makes all of them, in the same order.</summary>
    private ProcessGroup? Find(ProcessGroup world, int groups, int size, Func<int, int, int, int> rankOf)
    {
        if (size == 1) return null;
        if (groups == 1) return world;
        ProcessGroup? mine = null;
        for (var group = 0; group < groups; group++)
        {
            if (world.CreateSubGroup([.. Enumerable.Range(0, size).Select(i => rankOf(group, i, size))]) is not { } made) continue;
            _owned.Add(made);
            mine = made;
        }

        return mine;
    }
}

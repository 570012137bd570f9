using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Distributed;

/// <summary>Who is in a group, and through what its members find each other.</summary>
internal sealed class GroupContext
{
    /// <summary>Unique within the job and equal on all members; prefix of the group's keys in the store.</summary>
    public required string Name { get; init; }

    /// <summary>This process's rank within the group.</summary>
    public required int Rank { get; init; }

    /// <summary>Global ranks of the members, by rank within the group.</summary>
    public required IReadOnlyList<int> Ranks { get; init; }

    public required IRendezvousStore Store { get; init; }

    /// <summary>The longest that an operation, or joining the group, may take.</summary>
    public required TimeSpan Timeout { get; init; }

    /// <summary>What is known about the group's failure; wired to the store and to the other members.</summary>
    public required GroupHealth Health { get; init; }

    public int Size => Ranks.Count;

    public int GlobalRank => Ranks[Rank];

    public string Key(string name) => $"pg/{Name}/{name}";
}

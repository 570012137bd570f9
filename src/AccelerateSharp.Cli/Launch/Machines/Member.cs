using System.Globalization;

namespace AccelerateSharp.Cli.Launch.Machines;

/// <summary>What a launcher is doing, as far as the coordinator knows.</summary>
internal enum MemberState
{
    /// <summary>It has no workers and waits for an attempt.</summary>
    Ready,

    /// <summary>Its workers run.</summary>
    Running,

    /// <summary>Its workers have all succeeded.</summary>
    Succeeded,

    /// <summary>It is ending its workers.</summary>
    Stopping,
}

/// <summary>A launcher that has joined the job.</summary>
internal sealed class Member(Report joined)
{
    public int Id => joined.Member;

    public string Host => joined.Host;

    public bool IsHost => joined.IsHost;

    /// <summary>The rank that its user gave it; null where none was given.</summary>
    public int? GivenRank => joined.MachineRank;

    public int LocalWorldSize => joined.LocalWorldSize;

    public string Role => joined.Role;

    public MemberState State { get; set; } = MemberState.Ready;

    /// <summary>Its rank in the latest attempt that it took part in; null before the first.</summary>
    public int? Rank { get; set; }

    /// <summary>The signal that its launcher got, or 0.</summary>
    public int Signal { get; set; }

    /// <summary>Whether it knows that its rank is taken.</summary>
    public bool IsTold { get; set; }

    public override string ToString() =>
        (Rank ?? GivenRank) is { } rank ? string.Create(CultureInfo.InvariantCulture, $"machine {rank} ({Host})") : Host;
}

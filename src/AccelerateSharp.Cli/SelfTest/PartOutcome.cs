namespace AccelerateSharp.Cli.SelfTest;

/// <summary>How a part of the self-test ended, over all ranks.</summary>
internal enum PartState
{
    Ok,
    Failed,
    NotRun,
}

/// <summary>What all ranks together say about one part.</summary>
/// <param name="Part">Its name.</param>
/// <param name="State">How it ended.</param>
/// <param name="Seconds">How long the slowest rank took.</param>
/// <param name="Note">What was checked.</param>
/// <param name="Reasons">Why it failed, with the rank.</param>
internal sealed record PartOutcome(string Part, PartState State, double Seconds, string? Note, IReadOnlyList<string> Reasons);

namespace AccelerateSharp.Cli.Launch.Machines;

/// <summary>What a job needs to start, and how often it may start again.</summary>
/// <param name="Machines">The fewest and the most machines.</param>
/// <param name="RanksAreFixed">Whether each machine has the rank that it was given; else ranks follow the order of arrival.</param>
/// <param name="MaxRestarts">How many failed attempts are followed by another one.</param>
/// <param name="JoinTimeout">How long to wait for the machines, in each generation.</param>
/// <param name="LastCallTimeout">How long to wait for one more machine, once the fewest are there.</param>
/// <param name="RunId">The name of the job.</param>
internal sealed record CoordinatorOptions(
    MachineRange Machines, bool RanksAreFixed, int MaxRestarts, TimeSpan JoinTimeout, TimeSpan LastCallTimeout, string RunId);

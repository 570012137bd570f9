using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch;

/// <summary>A worker that failed.</summary>
/// <param name="Worker">The worker.</param>
/// <param name="Status">How it ended.</param>
/// <param name="Report">What it said last; null where it said nothing.</param>
/// <param name="At">When it ended, since the start of its attempt.</param>
internal sealed record Failure(Worker Worker, ExitStatus Status, FailureReport? Report, TimeSpan At)
{
    /// <summary>Whether it failed only because another one did.</summary>
    public bool IsConsequence => Report is { IsConsequence: true };

    public override string ToString() => $"{Worker.Name} failed with {Status}{(Report is null ? "" : $": {Report.Message}")}";
}

/// <summary>How one attempt ended on this machine.</summary>
/// <param name="ExitCode">What the launcher would return if nothing more followed.</param>
/// <param name="Cause">The first worker that failed by itself; null where none did.</param>
/// <param name="Signal">The signal that somebody sent to the launcher, or 0.</param>
/// <param name="WasOrdered">Whether the attempt was ended from outside: by the machine that coordinates the job, or by its loss.</param>
internal sealed record JobEnd(int ExitCode, Failure? Cause, int Signal, bool WasOrdered);

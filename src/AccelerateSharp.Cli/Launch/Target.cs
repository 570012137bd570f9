namespace AccelerateSharp.Cli.Launch;

/// <summary>What every worker runs: a program found on disk, and its arguments.</summary>
/// <param name="Program">The path of the executable.</param>
/// <param name="Arguments">Its arguments, without the program's own name.</param>
internal sealed record Target(string Program, IReadOnlyList<string> Arguments)
{
    /// <summary>The same program, killed by the kernel when the thread that started it ends (where util-linux is installed).</summary>
    public Target BoundToParent() =>
        TargetResolver.OnPath("setpriv") is { } binder ? new Target(binder, ["--pdeathsig", "KILL", "--", Program, .. Arguments]) : this;
}

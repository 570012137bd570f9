namespace AccelerateSharp.Cli.Launch;

/// <summary>Something that the launcher reacts to, in the order in which it happens.</summary>
internal abstract record LaunchEvent
{
    /// <summary>A worker ended.</summary>
    public sealed record Exited(Worker Worker, ExitStatus Status) : LaunchEvent;

    /// <summary>Somebody wants the launcher to end.</summary>
    public sealed record Signalled(int Signal) : LaunchEvent;

    /// <summary>Nobody reads our output any more.</summary>
    public sealed record OutputClosed : LaunchEvent;
}

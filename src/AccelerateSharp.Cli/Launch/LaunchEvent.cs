using AccelerateSharp.Cli.Launch.Machines;

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

    /// <summary>The machine that coordinates the job gave an order.</summary>
    /// <param name="Order">The order; null: that machine cannot be reached any more.</param>
    /// <param name="Connection">The connection that it came by.</param>
    public sealed record Told(Order? Order, object Connection) : LaunchEvent;
}

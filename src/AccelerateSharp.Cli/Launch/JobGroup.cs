using System.IO.Pipes;

namespace AccelerateSharp.Cli.Launch;

/// <summary>The process group of all workers and of whatever they start, which never outlives the launcher.</summary>
/// <remarks>
/// Its leader is a guard: a shell that waits for the end of a pipe that only the launcher holds open. When the launcher is gone,
/// however it went, the pipe ends, and the guard kills its own group. Workers are in the group from their first instruction on.
/// </remarks>
internal sealed class JobGroup : IDisposable
{
    private const string Shell = "/bin/sh";

    // The guard stays when the group is asked to end: it is the last to go.
    private const string Guard = "trap '' HUP INT TERM TSTP TTIN TTOU; echo; read -r _; kill -KILL 0";

    private readonly AnonymousPipeServerStream _lifeline;
    private readonly ChildProcess _guard;
    private bool _disposed;

    public JobGroup()
    {
        _lifeline = new AnonymousPipeServerStream(PipeDirection.Out, HandleInheritability.None);
        _guard = ChildProcess.Start(Shell, ["-c", Guard], [], group: 0, input: _lifeline.ClientSafePipeHandle);
        _lifeline.DisposeLocalCopyOfClientHandle();
        // Its first line says that it does not mind signals any more.
        _guard.Output!.ReadByte();
        _guard.Output.Dispose();
        _guard.Error!.Dispose();
    }

    /// <summary>The id of the group.</summary>
    public int Id => _guard.Id;

    /// <summary>Sends a signal to every process of the group.</summary>
    public void Signal(int signal) => _ = Posix.Kill(-Id, signal);

    /// <summary>Ends what is left of the group.</summary>
    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        Signal(Posix.SigKill);
        _guard.Wait();
        _lifeline.Dispose();
    }
}

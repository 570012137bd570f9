namespace AccelerateSharp.Cli.Launch;

/// <summary>How a process ended.</summary>
/// <param name="Code">Its exit code; 128 and the signal's number where a signal ended it, as a shell says it.</param>
/// <param name="Signal">The signal that ended it, or 0.</param>
internal readonly record struct ExitStatus(int Code, int Signal)
{
    public bool Succeeded => Code == 0;

    /// <summary>Reads the status word of waitpid.</summary>
    public static ExitStatus FromWait(int status) =>
        (status & 0x7f) is var signal and not 0 ? new(128 + signal, signal) : new((status >> 8) & 0xff, 0);

    public override string ToString() => Signal == 0 ? $"exit code {Code}" : $"signal {Signal} ({Posix.SignalName(Signal)})";
}

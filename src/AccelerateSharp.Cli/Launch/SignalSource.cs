using System.Runtime.InteropServices;

namespace AccelerateSharp.Cli.Launch;

/// <summary>Ctrl-C, SIGTERM and SIGHUP to the launcher itself: they are handed on instead of ending it.</summary>
internal sealed class SignalSource : IDisposable
{
    private readonly List<PosixSignalRegistration> _registrations = [];
    private readonly CancellationTokenSource _first = new();
    private volatile int _signal;

    public SignalSource(Action<int> received)
    {
        var ignored = Posix.IgnoredSignals();
        (PosixSignal Name, int Number)[] signals = [(PosixSignal.SIGINT, Posix.SigInt), (PosixSignal.SIGTERM, Posix.SigTerm), (PosixSignal.SIGHUP, Posix.SigHup)];
        foreach (var (name, number) in signals)
        {
            // Under nohup, the end of the terminal is no reason to end.
            if ((ignored >> (number - 1) & 1) == 0) _registrations.Add(Register(name, number, received));
        }
    }

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken First => _first.Token;

    /// <summary>The first signal, or 0.</summary>
    public int Signal => _signal;

    public void Dispose()
    {
        foreach (var registration in _registrations) registration.Dispose();
        _first.Dispose();
    }

    private PosixSignalRegistration Register(PosixSignal name, int number, Action<int> received) =>
        PosixSignalRegistration.Create(name, context =>
        {
            context.Cancel = true;
            if (Interlocked.CompareExchange(ref _signal, number, 0) == 0) _first.Cancel();
            received(number);
        });
}

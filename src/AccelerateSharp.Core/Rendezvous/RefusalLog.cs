using System.Net;

namespace AccelerateSharp.Rendezvous;

/// <summary>Tells of strangers at the rendezvous: the first at once, then at most one line a second, however many knock.</summary>
internal sealed class RefusalLog(Action<string> log)
{
    private static readonly long _intervalMilliseconds = 1000;

    private readonly Lock _gate = new();
    private long _next = long.MinValue;
    private long _unsaid;

    public void Add(IPAddress? address, int port)
    {
        long unsaid;
        lock (_gate)
        {
            if (Environment.TickCount64 < _next)
            {
                _unsaid++;
                return;
            }
            _next = Environment.TickCount64 + _intervalMilliseconds;
            unsaid = _unsaid;
            _unsaid = 0;
        }
        log($"rendezvous: refused {address}:{port}, which does not hold the token of this job"
            + (unsaid > 0 ? $" ({unsaid} more refused since the last line)." : "."));
    }
}

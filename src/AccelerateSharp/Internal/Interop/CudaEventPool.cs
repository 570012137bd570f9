using System.Collections.Concurrent;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Events without timing, used again and again: making one costs more than recording it.</summary>
internal sealed class CudaEventPool(CudaContext context) : IDisposable
{
    private readonly ConcurrentBag<CudaEvent> _free = [];

    internal CudaEvent Rent() => _free.TryTake(out var @event) ? @event : CudaEvent.Create(context);

    /// <summary>Takes back an event that nobody waits for or asks any more.</summary>
    internal void Return(CudaEvent @event) => _free.Add(@event);

    public void Dispose()
    {
        while (_free.TryTake(out var @event)) @event.Dispose();
    }
}

using System.Runtime.ExceptionServices;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Keeps what went wrong inside autograd callbacks until backward has returned to managed code.</summary>
/// <remarks>
/// A managed exception that unwinds into libtorch ends the process, and on CUDA the callback does not even run on the thread that
/// called backward. The first error wins: what follows it is usually its consequence.
/// </remarks>
internal sealed class BackwardErrors
{
    private ExceptionDispatchInfo? _first;

    /// <summary>The one that nodes use when they are given none of their own.</summary>
    internal static BackwardErrors Shared { get; } = new();

    /// <summary>Whether a callback has failed since the last <see cref="ThrowPending"/>; the callbacks after it are skipped.</summary>
    internal bool IsPending => Volatile.Read(ref _first) is not null;

    internal void Record(Exception exception) =>
        Interlocked.CompareExchange(ref _first, ExceptionDispatchInfo.Capture(exception), null);

    /// <summary>Call after backward: throws the first error with its own stack trace, once.</summary>
    internal void ThrowPending() => Interlocked.Exchange(ref _first, null)?.Throw();
}

using Microsoft.Win32.SafeHandles;

namespace AccelerateSharp.Internal.Interop;

/// <summary>A stream of our own that does not synchronize with the legacy default stream, on which TorchSharp computes.</summary>
internal sealed class CudaStream : SafeHandleZeroOrMinusOneIsInvalid
{
    private CudaStream(CudaContext context, nint handle) : base(ownsHandle: true)
    {
        Context = context;
        SetHandle(handle);
    }

    internal CudaContext Context { get; }

    /// <summary>The <c>CUstream</c>, for native calls; valid while this object is not disposed.</summary>
    internal nint Raw => handle;

    /// <summary>True once everything queued so far is done.</summary>
    internal bool IsIdle
    {
        get
        {
            using var scope = Context.Enter();
            return CudaDriver.CheckReady(CudaDriverNative.cuStreamQuery(handle), nameof(CudaDriverNative.cuStreamQuery));
        }
    }

    internal static CudaStream CreateNonBlocking(CudaContext context)
    {
        using var scope = context.Enter();
        CudaDriver.Check(CudaDriverNative.cuStreamCreate(out var stream, CudaDriverNative.StreamNonBlocking), nameof(CudaDriverNative.cuStreamCreate));
        return new CudaStream(context, stream);
    }

    /// <summary>Work queued on this stream from now on starts only after <paramref name="event"/>; the host does not wait.</summary>
    internal void WaitFor(CudaEvent @event) => @event.MakeWait(handle);

    /// <summary>Blocks the calling thread until everything queued so far is done.</summary>
    internal void Synchronize()
    {
        using var scope = Context.Enter();
        CudaDriver.Check(CudaDriverNative.cuStreamSynchronize(handle), nameof(CudaDriverNative.cuStreamSynchronize));
    }

    protected override bool ReleaseHandle() => CudaDriverNative.cuStreamDestroy_v2(handle) == CudaDriverNative.Success;
}

using AccelerateSharp.Checkpoints;
using AccelerateSharp.Internal.Interop;
using Microsoft.Win32.SafeHandles;

namespace AccelerateSharp.BigModel;

/// <summary>Host memory that a GPU reads by itself, for all weights of one block.</summary>
internal sealed class PinnedMemory : SafeHandleZeroOrMinusOneIsInvalid
{
    private PinnedMemory(nint address) : base(ownsHandle: true) => SetHandle(address);

    public nint Address => handle;

    /// <summary>Null where the host cannot give so much memory that stays in place.</summary>
    public static PinnedMemory? TryAllocate(CudaContext context, long bytes)
    {
        using var scope = context.Enter();
        try
        {
            return new PinnedMemory(CudaDriver.AllocatePinned(bytes));
        }
        catch (CudaException)
        {
            return null;
        }
    }

    protected override bool ReleaseHandle() => CudaDriverNative.cuMemFreeHost(handle) == CudaDriverNative.Success;
}

/// <summary>A tensor in pinned memory; disposing it gives back the memory of its block.</summary>
internal sealed unsafe class PinnedBytes(PinnedMemory memory, long start, long byteCount) : ByteSource, IDisposable
{
    public override long ByteCount => byteCount;

    public nint Address => checked((nint)(memory.Address + start));

    public override void Read(long offset, Span<byte> destination)
    {
        new ReadOnlySpan<byte>((void*)checked((nint)(Address + offset)), destination.Length).CopyTo(destination);
        GC.KeepAlive(memory);
    }

    public void Dispose() => memory.Dispose();
}

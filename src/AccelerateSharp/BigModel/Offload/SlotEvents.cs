using AccelerateSharp.Internal.Interop;

namespace AccelerateSharp.BigModel;

/// <summary>The two points of the GPU's streams that a slot waits for.</summary>
internal sealed class SlotEvents(CudaContext context) : IDisposable
{
    /// <summary>Everything that computes with its present contents is done.</summary>
    public CudaEvent Free { get; } = CudaEvent.Create(context);

    /// <summary>Its contents have arrived.</summary>
    public CudaEvent Full { get; } = CudaEvent.Create(context);

    public void Dispose()
    {
        Free.Dispose();
        Full.Dispose();
    }
}

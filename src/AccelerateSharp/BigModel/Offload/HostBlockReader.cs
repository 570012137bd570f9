using AccelerateSharp.Checkpoints;
using AccelerateSharp.Distributed;

namespace AccelerateSharp.BigModel;

/// <summary>Reads weights into the host's memory, on threads beside the one that computes.</summary>
internal sealed class HostBlockReader : IBlockReader
{
    public void Prepare(BlockSlot slot)
    {
    }

    public void Start(BlockSlot slot, OffloadUnit unit)
    {
        var pieces = Pieces(slot, unit);
        slot.Reading = Task.Run(() =>
        {
            BytePiece.ReadAll(pieces);
            // A model that nobody holds any more must not take the memory away that is being written.
            GC.KeepAlive(slot);
        });
    }

    public void Await(BlockSlot slot)
    {
        var reading = slot.Reading;
        slot.Reading = null;
        reading?.GetAwaiter().GetResult();
    }

    public void Release(BlockSlot slot)
    {
    }

    public void Drain(BlockSlot slot)
    {
        slot.Reading?.ContinueWith(static _ => { }, TaskScheduler.Default).Wait();
        slot.Reading = null;
    }

    public void Dispose()
    {
    }

    internal static List<BytePiece> Pieces(BlockSlot slot, OffloadUnit unit)
    {
        var address = TensorData.Pointer(slot.Memory);
        return [.. unit.Tensors.Where(tensor => tensor.NeedsMemory).SelectMany(tensor => tensor.Weight.Bytes!.Pieces(checked((nint)(address + tensor.Offset))))];
    }
}

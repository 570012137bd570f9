using AccelerateSharp.Checkpoints;
using AccelerateSharp.Distributed;
using AccelerateSharp.Internal.Interop;

namespace AccelerateSharp.BigModel;

/// <summary>Brings weights to a GPU beside what it computes: pinned ones by copies on a stream of their own, others read by threads into pinned memory first.</summary>
internal sealed class CudaBlockReader : IBlockReader
{
    /// <summary>Enough to read a disk as fast as it goes; the other processors compute.</summary>
    private const int MaxLanes = 4;

    private readonly int _device;
    private readonly CudaContext _context;
    private readonly CudaStream _stream;
    private GpuUploader? _uploader;
    private Task _reading = Task.CompletedTask;

    public CudaBlockReader(int device)
    {
        _device = device;
        _context = CudaContext.Of(device);
        _stream = CudaStream.CreateNonBlocking(_context);
    }

    public void Prepare(BlockSlot slot)
    {
        slot.Events = new SlotEvents(_context);
        // libtorch may have given memory that work on its stream still uses.
        Release(slot);
    }

    public void Start(BlockSlot slot, OffloadUnit unit)
    {
        using var scope = _context.Enter();
        var events = slot.Events!;
        _stream.WaitFor(events.Free);
        foreach (var (destination, source, bytes) in Copies(slot, unit)) CudaDriver.CopyAsync(destination, source, bytes, _stream.Raw);
        events.Full.Record(_stream.Raw);
        List<BytePiece> pieces = [.. HostBlockReader.Pieces(slot, unit).Where(piece => piece.Source is not PinnedBytes)];
        if (pieces.Count == 0) return;
        // One after the other: they share the pinned memory.
        var before = _reading;
        slot.Reading = _reading = Task.Run(async () =>
        {
            await before.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            _uploader ??= new GpuUploader(_device, MaxLanes);
            _uploader.Run(pieces, events.Free);
            GC.KeepAlive(slot);
        });
    }

    public void Await(BlockSlot slot)
    {
        var reading = slot.Reading;
        slot.Reading = null;
        reading?.GetAwaiter().GetResult();
        slot.Events!.Full.MakeWait(TorchCuda.CurrentStream(_device));
    }

    public void Release(BlockSlot slot) => slot.Events!.Free.Record(TorchCuda.CurrentStream(_device));

    public void Drain(BlockSlot slot)
    {
        slot.Reading?.ContinueWith(static _ => { }, TaskScheduler.Default).Wait();
        slot.Reading = null;
        slot.Events!.Full.Synchronize();
    }

    public void Dispose()
    {
        _reading.ContinueWith(static _ => { }, TaskScheduler.Default).Wait();
        _stream.Synchronize();
        _uploader?.Dispose();
        _stream.Dispose();
    }

    /// <summary>Neighbours in both places go together: a block whose weights are one piece of pinned memory is one copy.</summary>
    private static List<(nint Destination, nint Source, long Bytes)> Copies(BlockSlot slot, OffloadUnit unit)
    {
        var address = TensorData.Pointer(slot.Memory);
        var copies = new List<(nint Destination, nint Source, long Bytes)>();
        foreach (var tensor in unit.Tensors)
        {
            if (tensor.Weight.Bytes is not PinnedBytes pinned) continue;
            var destination = checked((nint)(address + tensor.Offset));
            if (copies is [.., var last] && destination - last.Destination == pinned.Address - last.Source && destination - last.Destination - last.Bytes is >= 0 and < OffloadUnit.Alignment)
                copies[^1] = last with { Bytes = destination - last.Destination + pinned.ByteCount };
            else copies.Add((destination, pinned.Address, pinned.ByteCount));
        }
        return copies;
    }
}

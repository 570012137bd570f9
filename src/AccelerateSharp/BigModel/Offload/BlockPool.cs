using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.BigModel;

/// <summary>Two pieces of memory on a device that units are loaded into by turns: while one computes, the next one arrives in the other.</summary>
internal sealed class BlockPool : IDisposable
{
    private readonly Device _device;
    private readonly IBlockReader _reader;
    private readonly BlockSlot[] _slots;

    /// <param name="device">Where the units compute.</param>
    /// <param name="units">The units that are not nested; the two largest decide how large the slots are.</param>
    public BlockPool(Device device, IEnumerable<OffloadUnit> units)
    {
        _device = device;
        _reader = device.type == DeviceType.CUDA ? new CudaBlockReader(Math.Max(0, device.index)) : new HostBlockReader();
        _slots = [.. units.Select(unit => unit.ByteCount).Where(bytes => bytes > 0).OrderDescending().Take(2).Select(NewSlot)];
    }

    /// <summary>Memory that it holds, in bytes.</summary>
    public long ByteCount => _slots.Sum(slot => slot.ByteCount);

    /// <summary>Whether a slot holds a unit's weights, or is being filled with them.</summary>
    public bool Has(OffloadUnit unit) => Array.Exists(_slots, slot => slot.Unit == unit);

    /// <summary>Brings a unit's weights into a slot, or finds them there; what the calling thread computes from now on can use them.</summary>
    /// <param name="unit">The unit.</param>
    /// <param name="alone">Whether the memory may not be used again by others: something may hold it for longer than the forward.</param>
    public BlockSlot Acquire(OffloadUnit unit, bool alone)
    {
        var slot = alone ? null : Holding(unit) ?? Fill(unit);
        if (slot is null)
        {
            slot = NewSlot(unit.ByteCount);
            _reader.Start(slot, unit);
            slot.Unit = unit;
        }
        (slot.IsInUse, slot.IsAhead) = (true, false);
        try
        {
            _reader.Await(slot);
            return slot;
        }
        catch
        {
            (slot.IsInUse, slot.Unit) = (false, null);
            if (!_slots.Contains(slot)) slot.Dispose();
            throw;
        }
    }

    /// <summary>Starts to bring weights that will be needed soon, where there is room.</summary>
    public void Prefetch(OffloadUnit unit)
    {
        if (unit.ByteCount == 0 || unit.IsNested || Has(unit)) return;
        if (Fill(unit) is { } slot) slot.IsAhead = true;
    }

    /// <summary>The calling thread has queued all that computes with the slot.</summary>
    public void Release(BlockSlot slot)
    {
        slot.IsInUse = false;
        if (_slots.Contains(slot)) _reader.Release(slot);
        else slot.Dispose();
    }

    public void Dispose()
    {
        foreach (var slot in _slots) _reader.Drain(slot);
        _reader.Dispose();
        foreach (var slot in _slots) slot.Dispose();
    }

    private BlockSlot? Holding(OffloadUnit unit) => Array.Find(_slots, slot => slot.Unit == unit && !slot.IsInUse);

    private BlockSlot? Fill(OffloadUnit unit)
    {
        // What was brought ahead is the last to go, and a small unit leaves the large slot to others.
        var slot = _slots.Where(slot => !slot.IsInUse && slot.ByteCount >= unit.ByteCount).OrderBy(slot => slot.IsAhead).ThenBy(slot => slot.ByteCount).FirstOrDefault();
        if (slot is null) return null;
        if (slot.Reading is not null) _reader.Drain(slot);
        (slot.Unit, slot.IsAhead) = (null, false);
        _reader.Start(slot, unit);
        slot.Unit = unit;
        return slot;
    }

    private BlockSlot NewSlot(long bytes)
    {
        var slot = new BlockSlot(_device, bytes);
        _reader.Prepare(slot);
        return slot;
    }
}

using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.BigModel;

/// <summary>Memory on the device that computes, for the weights of one unit at a time.</summary>
internal sealed class BlockSlot(Device device, long byteCount) : IDisposable
{
    private static readonly TorchOperator _view = TorchOperator.Get("aten::view.dtype(Tensor(a) self, ScalarType dtype) -> Tensor(a)");

    private readonly Dictionary<OffloadUnit, Tensor?[]> _views = [];

    public Tensor Memory { get; } = empty(byteCount, ScalarType.Byte, device).DetachFromDisposeScope();

    public long ByteCount => byteCount;

    /// <summary>The unit whose weights it holds, or is being filled with.</summary>
    public OffloadUnit? Unit { get; set; }

    /// <summary>Whether a module computes with it.</summary>
    public bool IsInUse { get; set; }

    /// <summary>Whether it was filled ahead, and not used yet.</summary>
    public bool IsAhead { get; set; }

    /// <summary>Reads that still run; null where there are none.</summary>
    public Task? Reading { get; set; }

    /// <summary>What the GPU tells of it; null on other devices.</summary>
    public SlotEvents? Events { get; set; }

    /// <summary>The unit's tensors in this memory, made once; null for those that it does not hold.</summary>
    public IReadOnlyList<Tensor?> ViewsOf(OffloadUnit unit)
    {
        if (!_views.TryGetValue(unit, out var views))
        {
            using var noGrad = no_grad();
            _views.Add(unit, views = [.. unit.Tensors.Select(tensor => tensor.NeedsMemory ? tensor.In(Memory) : null)]);
        }
        return views;
    }

    /// <summary>Whether a tensor is a part of this memory.</summary>
    public bool Holds(Tensor tensor) => tensor.device_type == Memory.device_type && TensorStorage.Address(tensor) == TensorStorage.Address(Memory);

    public static Tensor View(Tensor bytes, ScalarType dtype) => _view.CallForTensor(bytes, dtype);

    public void Dispose()
    {
        foreach (var view in _views.Values.SelectMany(views => views)) view?.Dispose();
        _views.Clear();
        Events?.Dispose();
        Memory.Dispose();
    }
}

using AccelerateSharp.Checkpoints;
using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>Puts the tensors of a model where its device map says, and knows where the offloaded ones are.</summary>
/// <remarks>
/// A tensor with several names lives in the nearest of their places; where another name's module computes on another device, that
/// one gets a copy of its own.
/// </remarks>
internal sealed class WeightPlacement
{
    private readonly Module _model;
    private readonly DeviceMap _map;
    private readonly DispatchOptions _options;
    private readonly Dictionary<ModelTensor, (OffloadedWeight Weight, bool HadValues)> _offloaded = [];
    private readonly Dictionary<(ModelTensor, string), OffloadedWeight> _copies = [];
    private readonly HashSet<ModelTensor> _onDisk = [];

    public WeightPlacement(Module model, DeviceMap map, DispatchOptions options)
    {
        (_model, _map, _options) = (model, map, options);
        Tensors = ModelTensors.Of(model);
        foreach (var tensor in Tensors)
            foreach (var name in tensor.Names) ByName[name] = tensor;
    }

    public IReadOnlyList<ModelTensor> Tensors { get; }

    public Dictionary<string, ModelTensor> ByName { get; } = new(StringComparer.Ordinal);

    public Placement PlacementOf(string name) => _map.Find(name) ?? _options.MainDevice;

    /// <summary>Checks that there are values for all tensors, before anything is changed.</summary>
    public void Check()
    {
        List<ModelTensor> empty = [.. Tensors.Where(tensor => tensor.IsEmpty && (HomeOf(tensor) is not null || NameOnDisk(tensor) is null))];
        if (empty.Count > 0)
        {
            throw new InvalidOperationException($"{empty.Count} tensors of this {_model.GetType().Name} have no values: {Some(empty)}."
                + " Load a checkpoint first (LoadCheckpointInModel), or give the offload folder that holds them.");
        }
        if (_options.Folder is null && Tensors.Where(tensor => HomeOf(tensor) is null && IsOnDisk(tensor)).ToList() is { Count: > 0 } onDisk)
            throw new ArgumentException($"The device map puts {onDisk.Count} tensors on disk ({Some(onDisk)}), but there is no offload folder; give one as offloadFolder.");
        foreach (var tensor in Tensors.Where(tensor => HomeOf(tensor) is null && tensor.IsEmpty)) CheckOnDisk(tensor);
    }

    /// <summary>Moves what lives on a device, and writes what belongs on disk and is not there. Memory of the host is offloaded with its units.</summary>
    public void Place()
    {
        using var noGrad = no_grad();
        foreach (var tensor in Tensors)
        {
            if (HomeOf(tensor) is { } device)
            {
                if (IsOn(tensor.Value, device)) continue;
                using var moved = tensor.Value.detach().to(device);
                tensor.Put(moved);
                continue;
            }
            if (!IsOnDisk(tensor) && !tensor.IsEmpty) continue;
            var hadValues = !tensor.IsEmpty;
            if (hadValues) _options.Folder!.Write(tensor.Name, tensor.Value);
            _offloaded[tensor] = (OnDisk(tensor), hadValues);
            _onDisk.Add(tensor);
            if (hadValues) tensor.Empty();
        }
        _options.Folder?.Save();
    }

    /// <summary>The tensors of a unit that have to be brought to its device; host memory that a GPU will read is pinned on the way.</summary>
    public List<(ModelTensor Tensor, OffloadedWeight Weight, bool HadValues)> ToBring(IEnumerable<ModelTensor> tensors, Device device)
    {
        List<ModelTensor> all = [.. tensors.Distinct()];
        OffloadFromHost([.. all.Where(tensor => HomeOf(tensor) is null && !_offloaded.ContainsKey(tensor))], device);
        var result = new List<(ModelTensor, OffloadedWeight, bool)>();
        foreach (var tensor in all)
        {
            if (_offloaded.TryGetValue(tensor, out var offloaded)) result.Add((tensor, offloaded.Weight, offloaded.HadValues));
            else if (!IsOn(tensor.Value, device) && HomeOf(tensor) is not null) result.Add((tensor, CopyOf(tensor, device), false));
        }
        return result;
    }

    /// <summary>Tied parameters whose modules compute on different devices.</summary>
    public IEnumerable<ModelTensor> ComputedApart() => Tensors.Where(tensor => tensor.IsParameter
        && tensor.Names.Select(name => _options.ExecutionDevice(PlacementOf(name)).ToString()).Distinct().Count() > 1);

    /// <summary>Where a tensor lives between forwards; null where it is offloaded.</summary>
    private Device? HomeOf(ModelTensor tensor)
    {
        if (!tensor.IsParameter && (!_options.OffloadBuffers || !tensor.IsPersistent)) return _options.ExecutionDevice(PlacementOf(tensor.Name));
        var nearest = tensor.Names.Select(PlacementOf).Min();
        return _options.IsOffloaded(nearest) ? null : _options.ExecutionDevice(nearest);
    }

    private bool IsOnDisk(ModelTensor tensor) => tensor.Names.Select(PlacementOf).Min() == Placement.Disk;

    private string? NameOnDisk(ModelTensor tensor) => tensor.Names.FirstOrDefault(name => _options.Folder?.Contains(name) == true);

    private void CheckOnDisk(ModelTensor tensor)
    {
        var name = NameOnDisk(tensor)!;
        var shape = _options.Folder!.Find(name).Shape;
        if (!shape.SequenceEqual(tensor.Shape))
        {
            throw new IOException($"The offload folder is of another model: '{name}' is [{string.Join(", ", shape)}] there and [{string.Join(", ", tensor.Shape)}] in this {_model.GetType().Name}."
                + " Delete the folder, or give another one.");
        }
    }

    private OffloadedWeight OnDisk(ModelTensor tensor)
    {
        var (bytes, stored, dtype, shape) = _options.Folder!.Find(NameOnDisk(tensor)!);
        if (dtype != tensor.Dtype && tensor.IsEmpty)
        {
            // The folder's dtype is the one that the weights were loaded as.
            using var meta = empty(shape, dtype, META);
            tensor.Put(meta);
        }
        return new OffloadedWeight(bytes, null, stored, shape);
    }

    private void OffloadFromHost(List<ModelTensor> tensors, Device device)
    {
        if (tensors.Count == 0) return;
        using var noGrad = no_grad();
        var pinned = device.type == DeviceType.CUDA ? PinnedMemory.TryAllocate(CudaContext.Of(Math.Max(0, device.index)), tensors.Sum(tensor => OffloadUnit.Align(tensor.ByteCount))) : null;
        var start = 0L;
        foreach (var tensor in tensors)
        {
            var value = tensor.Value.detach().cpu().contiguous().DetachFromDisposeScope();
            OffloadedWeight weight;
            if (device.type == DeviceType.CPU) weight = OffloadedWeight.Of(value);
            else if (pinned is null) weight = new OffloadedWeight(new HostBytes(value), null, value.dtype, value.shape);
            else
            {
                var bytes = new PinnedBytes(pinned, start, tensor.ByteCount);
                if (tensor.ByteCount > 0) BytePiece.ReadAll([.. new HostBytes(value).Pieces(bytes.Address)]);
                weight = new OffloadedWeight(bytes, null, value.dtype, value.shape);
                start += OffloadUnit.Align(tensor.ByteCount);
                value.Dispose();
            }
            _offloaded[tensor] = (weight, true);
            tensor.Empty();
        }
    }

    private OffloadedWeight CopyOf(ModelTensor tensor, Device device)
    {
        if (!_copies.TryGetValue((tensor, device.ToString()), out var copy))
            _copies.Add((tensor, device.ToString()), copy = OffloadedWeight.Of(tensor.Value.detach().to(device).DetachFromDisposeScope()));
        return copy;
    }

    private static bool IsOn(Tensor tensor, Device device) => tensor.device_type == device.type && Math.Max(0, tensor.device_index) == Math.Max(0, device.index);

    private static string Some(List<ModelTensor> tensors) => string.Join(", ", tensors.Take(5).Select(tensor => tensor.Name)) + (tensors.Count > 5 ? ", …" : "");
}

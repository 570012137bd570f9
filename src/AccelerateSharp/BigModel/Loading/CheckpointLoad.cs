using AccelerateSharp.Checkpoints.Safetensors;
using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>Brings the tensors of a checkpoint to where a device map puts them, all at once and each straight to its place.</summary>
internal sealed class CheckpointLoad(Module model, SafetensorsCheckpoint checkpoint, string path, DeviceMap? map, LoadOptions options)
{
    private readonly IReadOnlyList<ModelTensor> _tensors = ModelTensors.Of(model);

    public void Run()
    {
        var found = Match();
        CheckMemory(found);
        using var folder = options.OffloadFolder is null ? null : OffloadFolder.Open(options.OffloadFolder);
        using var scope = NewDisposeScope();
        using var noGrad = no_grad();
        var reads = new List<KeyValuePair<string, Tensor>>();
        foreach (var (tensor, name) in found)
        {
            var dtype = DtypeOf(tensor, name);
            if (PlaceOf(tensor) is { } device) reads.Add(new(name, DestinationOf(tensor, dtype, device)));
            else ToDisk(tensor, name, dtype, folder!);
        }
        checkpoint.ReadInto(reads);
        folder?.Save();
    }

    /// <summary>What is in the checkpoint for each tensor, after everything that can be wrong has been looked for.</summary>
    private List<(ModelTensor Tensor, string Name)> Match()
    {
        var found = new List<(ModelTensor, string)>();
        var missing = new List<string>();
        foreach (var tensor in _tensors.Where(tensor => tensor.IsPersistent))
        {
            if (tensor.Names.Select(NameInCheckpoint).FirstOrDefault(saved => saved is not null) is not { } name)
            {
                missing.Add(tensor.Name);
                continue;
            }
            var shape = checkpoint.Describe(name).Shape;
            if (!shape.SequenceEqual(tensor.Shape))
            {
                throw new ArgumentException($"{path}: '{name}' is [{string.Join(", ", shape)}] in the checkpoint and [{string.Join(", ", tensor.Shape)}] in this {model.GetType().Name}."
                    + " The checkpoint is of another model, or of one with other settings.");
            }
            found.Add((tensor, name));
        }
        var known = _tensors.SelectMany(tensor => tensor.Names).Select(NameInCheckpoint).ToHashSet(StringComparer.Ordinal);
        List<string> unexpected = [.. checkpoint.Names.Where(name => !known.Contains(name) && (model as ICheckpointNames)?.IsDerived(name) != true)];
        if (options.Strict && missing.Count + unexpected.Count > 0)
        {
            throw new ArgumentException($"{path} does not fit this {model.GetType().Name}:"
                + (missing.Count > 0 ? $" it lacks {missing.Count} of its tensors ({Some(missing)})." : "")
                + (unexpected.Count > 0 ? $" It has {unexpected.Count} that the model does not have ({Some(unexpected)})." : "")
                + " With strict: false the rest is loaded.");
        }
        if (found.Count == 0) throw new ArgumentException($"{path} has none of the tensors of this {model.GetType().Name}: it has {Some([.. checkpoint.Names])}, and the model has {Some(missing)}.");
        if (missing.Count > 0) Notices.Say($"{path} lacks {missing.Count} tensors of this {model.GetType().Name}, which stay as they are: {Some(missing)}.");
        if (unexpected.Count > 0) Notices.Say($"{path} has {unexpected.Count} tensors that this {model.GetType().Name} does not use: {Some(unexpected)}.");
        return found;
    }

    private string? NameInCheckpoint(string name) =>
        model is ICheckpointNames names ? names.NameInCheckpoint(name, checkpoint.Contains) : checkpoint.Contains(name) ? name : null;

    /// <summary>Says what does not fit before a part of it is loaded.</summary>
    private void CheckMemory(List<(ModelTensor Tensor, string Name)> found)
    {
        foreach (var place in found.Select(entry => (Device: PlaceOf(entry.Tensor), entry.Tensor, Dtype: DtypeOf(entry.Tensor, entry.Name)))
            .Where(place => place.Device?.type == DeviceType.CUDA).GroupBy(place => Math.Max(0, place.Device!.index)))
        {
            var needed = place.Where(entry => !IsReady(entry.Tensor, entry.Dtype, entry.Device!)).Sum(entry => entry.Tensor.Value.numel() * SizeOf(entry.Dtype));
            var (free, total) = CudaContext.Of(place.Key).MemoryInfo();
            if (needed > total)
            {
                throw new InvalidOperationException($"The device map puts {needed / 1e9:F1} GB of weights on GPU {place.Key}, which has {total / 1e9:F1} GB ({free / 1e9:F1} GB free)."
                    + " Put modules on other GPUs, 'cpu' or 'disk', or let InferAutoDeviceMap do it.");
            }
        }
    }

    /// <summary>Where a tensor lives: the nearest of the places of its names; null for the disk.</summary>
    private Device? PlaceOf(ModelTensor tensor)
    {
        if (map is null) return tensor.IsEmpty ? CPU : tensor.Value.device;
        var nearest = tensor.Names.Select(name => map.Find(name)!.Value).Min();
        if (nearest != Placement.Disk) return nearest.ToDevice();
        return tensor.IsParameter || options.OffloadBuffers ? null : CPU;
    }

    private ScalarType DtypeOf(ModelTensor tensor, string name)
    {
        if (options.Dtype is not { } dtype || !TensorDtypes.IsFloatingPoint(tensor.Dtype)) return tensor.Dtype;
        return dtype == ScalarType.Float16 && options.KeepInFp32.Any(part => name.Split('.').Contains(part, StringComparer.Ordinal)) ? ScalarType.Float32 : dtype;
    }

    private static Tensor DestinationOf(ModelTensor tensor, ScalarType dtype, Device device)
    {
        if (IsReady(tensor, dtype, device)) return tensor.Value;
        var destination = empty(tensor.Shape, dtype, device);
        tensor.Put(destination);
        return destination;
    }

    /// <summary>Whether a tensor's own memory can take the values.</summary>
    private static bool IsReady(ModelTensor tensor, ScalarType dtype, Device device) =>
        !tensor.IsEmpty && tensor.Dtype == dtype && tensor.Value.device_type == device.type && Math.Max(0, tensor.Value.device_index) == Math.Max(0, device.index);

    /// <summary>Notes where a tensor lies in the checkpoint; only in another dtype is it written anew.</summary>
    private void ToDisk(ModelTensor tensor, string name, ScalarType dtype, OffloadFolder folder)
    {
        var located = checkpoint.Locate(name);
        if (located.Dtype == dtype) folder.Refer(tensor.Name, located);
        else
        {
            using var value = checkpoint.Read(name, CPU).to_type(dtype);
            folder.Write(tensor.Name, value);
        }
        using var meta = empty(tensor.Shape, dtype, META);
        tensor.Put(meta);
    }

    private static long SizeOf(ScalarType dtype)
    {
        using var element = empty(1, dtype, META);
        return element.element_size();
    }

    private static string Some(List<string> names) => string.Join(", ", names.Take(5)) + (names.Count > 5 ? ", …" : "");
}

using AccelerateSharp.Distributed;
using AccelerateSharp.Safetensors;
using Microsoft.Win32.SafeHandles;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Checkpoints.Safetensors;

/// <summary>Tensors as what a safetensors file is written from.</summary>
internal static class TensorSources
{
    /// <summary>What one system call writes at most.</summary>
    private const int WriteLength = 64 << 20;

    /// <summary>The tensors to write, and the metadata: a tensor that is the same memory as one before it is an entry there instead.</summary>
    internal static (List<SafetensorsSource> Sources, Dictionary<string, string> Metadata) Of(
        IEnumerable<KeyValuePair<string, Tensor>> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        var entries = new Dictionary<string, string>(StringComparer.Ordinal) { ["format"] = "pt" };
        foreach (var (key, value) in metadata ?? new Dictionary<string, string>()) entries[key] = value;
        var sources = new List<SafetensorsSource>();
        var first = new Dictionary<(nint Address, ScalarType Dtype, string Layout), string>();
        foreach (var (name, tensor) in tensors)
        {
            if (tensor is null || tensor.IsInvalid) throw new ArgumentException($"Tensor '{name}' has been disposed.", nameof(tensors));
            if (tensor.device_type == DeviceType.META)
                throw new ArgumentException($"Tensor '{name}' is on the meta device and has no values to save; load the weights first.", nameof(tensors));
            if (IsShared(name, tensor, first, out var other)) entries[name] = other;
            else sources.Add(new SafetensorsSource(name, TensorDtypes.Of(tensor.dtype, name), tensor.shape, (file, position) => Write(tensor, file, position)));
        }
        return (sources, entries);
    }

    private static bool IsShared(string name, Tensor tensor, Dictionary<(nint, ScalarType, string), string> first, out string other)
    {
        other = "";
        if (tensor.numel() == 0) return false;
        var key = (TensorData.Pointer(tensor), tensor.dtype, $"{string.Join(',', tensor.shape)}:{string.Join(',', tensor.stride())}");
        if (first.TryGetValue(key, out var known))
        {
            other = known;
            return true;
        }
        first.Add(key, name);
        return false;
    }

    /// <summary>Writes the elements, row by row, from <paramref name="position"/> on.</summary>
    internal static unsafe void Write(Tensor tensor, SafeFileHandle file, long position)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        // Both return the tensor itself where nothing is to be done.
        var plain = tensor.detach().cpu().contiguous();
        var bytes = plain.numel() * plain.element_size();
        var address = (byte*)TensorData.Pointer(plain);
        for (var offset = 0L; offset < bytes; offset += WriteLength)
            RandomAccess.Write(file, new ReadOnlySpan<byte>(address + offset, (int)Math.Min(WriteLength, bytes - offset)), position + offset);
        GC.KeepAlive(plain);
    }
}

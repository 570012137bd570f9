using AccelerateSharp.Safetensors;

namespace AccelerateSharp.Estimation;

/// <summary>The tensors of a model, each once (tied ones count once), and its geometry where it is known.</summary>
/// <param name="Architecture">What it was derived from, in words.</param>
/// <param name="Tensors">The tensors.</param>
/// <param name="Geometry">What its activations depend on, or null.</param>
internal sealed record ModelInventory(string Architecture, IReadOnlyList<ModelTensor> Tensors, TransformerGeometry? Geometry)
{
    /// <summary>The trainable parameters, with the head.</summary>
    public IEnumerable<ModelTensor> Parameters => Tensors.Where(tensor => tensor.Role != TensorRole.Buffer);

    public long ParameterCount => Parameters.Sum(tensor => tensor.ElementCount);

    /// <summary>The model that a checkpoint holds. Its tensors count as float32, whatever they are stored as.</summary>
    public static ModelInventory FromCheckpoint(IReadOnlyList<SafetensorsTensor> tensors, TransformerGeometry? geometry)
    {
        var dtypes = tensors.GroupBy(tensor => tensor.Dtype).OrderByDescending(group => group.Sum(tensor => tensor.ByteCount)).Select(group => group.Key.Name());
        return new ModelInventory($"weights stored as {string.Join(", ", dtypes)}",
            [.. tensors.Select(tensor => new ModelTensor(tensor.Name, [.. tensor.Shape], LayerOf(tensor.Name), RoleOf(tensor), BitsOf(tensor)))], geometry);
    }

    // Whole numbers and truth values are no weights, and are not made smaller by a dtype.
    private static TensorRole RoleOf(SafetensorsTensor tensor) => IsFloat(tensor.Dtype) ? TensorRole.Parameter : TensorRole.Buffer;

    private static int BitsOf(SafetensorsTensor tensor) => IsFloat(tensor.Dtype) ? 32 : tensor.Dtype.Bits();

    private static bool IsFloat(SafetensorsDtype dtype) => dtype >= SafetensorsDtype.F4;

    /// <summary>The block (<c>model.layers.7</c>) or, outside of blocks, the module (<c>lm_head</c>) of a tensor.</summary>
    private static string LayerOf(string name)
    {
        var parts = name.Split('.');
        var number = Array.FindIndex(parts, part => part.Length > 0 && part.All(char.IsAsciiDigit));
        return number > 0 ? string.Join('.', parts[..(number + 1)]) : parts.Length > 1 ? string.Join('.', parts[..^1]) : name;
    }
}

namespace AccelerateSharp.Estimation.Architectures;

/// <summary>Collects the tensors of a model under the names that its checkpoints use.</summary>
internal sealed class TensorList
{
    private readonly List<ModelTensor> _tensors = [];

    public IReadOnlyList<ModelTensor> All => _tensors;

    public void Add(string layer, string name, TensorRole role, params long[] shape) => _tensors.Add(new ModelTensor(Join(layer, name), shape, layer, role));

    public void Parameter(string layer, string name, params long[] shape) => Add(layer, name, TensorRole.Parameter, shape);

    public void Buffer(string layer, string name, int bits, params long[] shape) =>
        _tensors.Add(new ModelTensor(Join(layer, name), shape, layer, TensorRole.Buffer, bits));

    /// <summary>A matrix and, mostly, a vector.</summary>
    public void Linear(string layer, string name, long inputs, long outputs, bool bias = true, TensorRole role = TensorRole.Parameter)
    {
        Add(layer, Join(name, "weight"), role, outputs, inputs);
        if (bias) Add(layer, Join(name, "bias"), role, outputs);
    }

    public void LayerNorm(string layer, string name, long width, TensorRole role = TensorRole.Parameter)
    {
        Add(layer, Join(name, "weight"), role, width);
        Add(layer, Join(name, "bias"), role, width);
    }

    private static string Join(string prefix, string name) => prefix.Length == 0 ? name : name.Length == 0 ? prefix : $"{prefix}.{name}";
}

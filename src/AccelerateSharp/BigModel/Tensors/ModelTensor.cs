using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>One tensor of a model - a parameter or a buffer, under all its names - and every object that holds it.</summary>
/// <remarks>
/// <see cref="Put"/> gives the holders another tensor while they stay the same objects, as fields of modules refer to them. libtorch
/// lets a tensor change its device in place, but not to the meta device; so the handles inside the holders are exchanged instead.
/// Modules that compute in native code with tensors of their own (LSTM, MultiheadAttention, ...) do not look there: theirs change in
/// place, and stand on a single element while they are empty.
/// </remarks>
internal sealed class ModelTensor(string name, bool isParameter, bool isPersistent, Tensor holder, bool isNative)
{
    private readonly List<Tensor> _holders = [holder];
    private readonly List<Module> _embeddings = [];
    private readonly List<string> _names = [name];
    private readonly Stack<(nint Handle, Tensor? Data)> _former = [];

    /// <summary>The first name.</summary>
    public string Name => _names[0];

    /// <summary>All names; more than one where weights are tied.</summary>
    public IReadOnlyList<string> Names => _names;

    public bool IsParameter { get; } = isParameter;

    /// <summary>Whether a checkpoint holds it.</summary>
    public bool IsPersistent { get; } = isPersistent;

    /// <summary>The tensor as it is now.</summary>
    public Tensor Value => _holders[0];

    /// <summary>Whether it has no values, because they were never made or lie elsewhere.</summary>
    public bool IsEmpty => isNative ? IsSingleElement(Value) : Value.is_meta;

    public long[] Shape => Value.shape;

    public ScalarType Dtype => Value.dtype;

    public long ByteCount => Value.numel() * Value.element_size();

    /// <summary>Gives all holders this tensor; the caller keeps its own. Whether it is trained stays as it was.</summary>
    public void Put(Tensor value)
    {
        using var noGrad = no_grad();
        if (isNative)
        {
            using var data = value.is_meta ? Placeholder(value) : value.detach();
            TensorStorage.SetData(Value, data);
            return;
        }
        using var alias = value.detach();
        alias.requires_grad = Value.requires_grad;
        PutHandle(alias.Handle);
    }

    /// <summary>Becomes one tensor with <paramref name="other"/>, for autograd too.</summary>
    public void Share(ModelTensor other)
    {
        if (isNative || other.IsNative) throw new NotSupportedException($"'{Name}' cannot be tied to '{other.Name}': a module that computes in native code keeps its own.");
        PutHandle(other.Value.Handle);
    }

    /// <summary>Lets go of the values. Shape and dtype stay.</summary>
    public void Empty()
    {
        using var meta = empty(Shape, Dtype, META);
        Put(meta);
    }

    /// <summary>Lets all holders compute with this tensor until <see cref="SwapBack"/>; the caller may let go of its own.</summary>
    /// <remarks>What was there before comes back as it was. Swaps can be nested.</remarks>
    public void SwapIn(Tensor value)
    {
        using var noGrad = no_grad();
        if (isNative)
        {
            var data = Value.detach().DetachFromDisposeScope();
            using var values = value.detach();
            TensorStorage.SetData(Value, values);
            _former.Push((0, data));
            return;
        }
        _former.Push((TensorHandles.Duplicate(Value.Handle), null));
        PutHandle(value.Handle);
    }

    /// <summary>Ends the last <see cref="SwapIn"/>.</summary>
    public void SwapBack()
    {
        var (handle, data) = _former.Pop();
        if (data is not null)
        {
            TensorStorage.SetData(Value, data);
            data.Dispose();
            return;
        }
        PutHandle(handle);
        TensorHandles.Release(handle);
    }

    /// <summary>Whether both are one tensor of one model.</summary>
    public bool IsSame(ModelTensor other) => ReferenceEquals(this, other) || TensorHandles.Identity(Value) == TensorHandles.Identity(other.Value);

    internal void AddName(string name, Tensor holder)
    {
        if (!_names.Contains(name)) _names.Add(name);
        if (!_holders.Exists(known => ReferenceEquals(known, holder))) _holders.Add(holder);
    }

    internal void AddEmbedding(Module module)
    {
        if (!_embeddings.Contains(module)) _embeddings.Add(module);
    }

    private bool IsNative => isNative;

    private void PutHandle(nint handle)
    {
        // The handle itself stays: an optimizer that was made before knows its parameters by it.
        foreach (var holder in _holders) TensorHandles.Redirect(TensorHandles.Field(holder), handle);
        foreach (var embedding in _embeddings) new EmbeddingWeight(embedding).Set(handle);
    }

    private static Tensor Placeholder(Tensor meta)
    {
        // Who computes with it sees at once that something is wrong.
        using var element = meta.is_floating_point() ? full(1, double.NaN, meta.dtype, CPU) : zeros(1, meta.dtype, CPU);
        return element.expand(meta.shape);
    }

    private static bool IsSingleElement(Tensor tensor) => tensor.numel() > 1 && tensor.stride().All(stride => stride == 0);
}

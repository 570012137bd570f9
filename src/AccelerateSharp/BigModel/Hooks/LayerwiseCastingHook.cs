using AccelerateSharp.BigModel;
using AccelerateSharp.Checkpoints.Safetensors;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

/// <summary>Keeps a module's weights in a small dtype, float8 for instance, and casts them to another one while it computes.</summary>
/// <param name="storageDtype">What the weights are kept as.</param>
/// <param name="computeDtype">What they are while the module computes.</param>
/// <param name="nonBlocking">Whether casts need not be waited for; they are queued on the device's stream in any case, so it changes nothing on one device.</param>
public sealed class LayerwiseCastingHook(ScalarType storageDtype, ScalarType computeDtype, bool nonBlocking = false) : ModelHook
{
    private readonly List<(ModelTensor Tensor, ScalarType Former)> _weights = [];
    private readonly List<ModelTensor> _cast = [];

    /// <inheritdoc/>
    public override void InitHook(Module module)
    {
        foreach (var tensor in ModelTensors.Direct(module).Where(tensor => TensorDtypes.IsFloatingPoint(tensor.Dtype)))
        {
            _weights.Add((tensor, tensor.Dtype));
            Store(tensor, storageDtype);
        }
    }

    /// <inheritdoc/>
    public override object?[] PreForward(Module module, object?[] arguments)
    {
        AbandonForward(module);
        foreach (var (tensor, _) in _weights)
        {
            using var value = tensor.Value.detach().to(computeDtype, non_blocking: nonBlocking);
            tensor.SwapIn(value);
            _cast.Add(tensor);
        }
        return arguments;
    }

    /// <inheritdoc/>
    public override object? PostForward(Module module, object? result)
    {
        AbandonForward(module);
        return result;
    }

    /// <inheritdoc/>
    public override void AbandonForward(Module module)
    {
        foreach (var tensor in _cast) tensor.SwapBack();
        _cast.Clear();
    }

    /// <summary>The weights get back the dtype that they had, with the values that are stored.</summary>
    public override void DetachHook(Module module)
    {
        AbandonForward(module);
        foreach (var (tensor, former) in _weights) Store(tensor, former);
        _weights.Clear();
    }

    private static void Store(ModelTensor tensor, ScalarType dtype)
    {
        using var noGrad = no_grad();
        using var value = tensor.Value.detach().to(dtype);
        tensor.Put(value);
    }
}

using AccelerateSharp.Precision.Fp8;
using TorchSharp;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;
using Optimizer = TorchSharp.torch.optim.Optimizer;

namespace AccelerateSharp;

public sealed partial class Accelerator
{
    /// <inheritdoc cref="AcceleratorState.Fp8Recipe"/>
    public FP8RecipeKwargs? Fp8Recipe => _state.Fp8Recipe;

    /// <summary>The float8 side of a prepared model; null where there is none.</summary>
    internal Fp8Model? Fp8ModelOf(Module model) => _models.Find(prepared => prepared.Model == model)?.Float8;

    /// <summary>Lets a model's linear layers compute in float8, if that is asked for. After sharding: its hooks come first then.</summary>
    private Fp8Model? CreateFp8Model(Module model, bool isSharded)
    {
        if (Fp8Recipe is not { } recipe) return null;
        if (recipe is MSAMPRecipeKwargs && isSharded)
        {
            throw new NotSupportedException(
                $"Rank {ProcessIndex}: MS-AMP stores weights and gradients in float8, which a sharding engine cannot divide. Use it without FSDP, or fp8Recipe: new TERecipeKwargs() with it.");
        }

        var multiplies = Float8Hardware.Multiplies(Device);
        var float8 = new Fp8Model(model, recipe.ToSettings(multiplies), isSharded, ProcessGroup, Device, _backwardErrors);
        if (!IsMainProcess) return float8;
        Console.Error.WriteLine(float8.Choice.Describe());
        if (!multiplies && Device.type == DeviceType.CUDA)
            Console.Error.WriteLine($"fp8: {Device} does not multiply float8 (compute capability 8.9 does): the same numbers are computed in float32, which is slow. For speed use bf16.");
        return float8;
    }

    /// <summary>MS-AMP's gradients and states are no tensors that other optimizers could read.</summary>
    private void CheckFp8Optimizer(Optimizer optimizer)
    {
        if (Fp8Recipe is not MSAMPRecipeKwargs || optimizer is FusedAdamW or FusedAdam) return;
        throw new NotSupportedException(
            $"Rank {ProcessIndex}: under MS-AMP, gradients are in float8 and their scales beside them, which {optimizer.GetType().Name} cannot read. "
            + "Use FusedAdamW or FusedAdam, which take the arguments of TorchSharp's AdamW and Adam.");
    }

    /// <summary>In place of weights in float8, whose scales are elsewhere, the float16 ones that they are made from.</summary>
    private Dictionary<string, Tensor> WithMasterWeights(Module model, Dictionary<string, Tensor> weights)
    {
        foreach (var weight in StoredWeights(model)) weights[weight.Name] = weight.Master!;
        return weights;
    }

    /// <summary>Takes the weights in that are kept in float8; what is returned loads like any other weights.</summary>
    private Dictionary<string, Tensor> StoreMasterWeights(Module model, Dictionary<string, Tensor> weights)
    {
        foreach (var weight in StoredWeights(model))
        {
            if (!weights.TryGetValue(weight.Name, out var value)) continue;
            if (!value.shape.SequenceEqual(weight.Parameter.shape)) continue;
            using var scope = NewDisposeScope();
            weight.Store(value.to(Device).to(float32));
            weights[weight.Name] = weight.Parameter;
        }

        return weights;
    }

    private IEnumerable<MsAmpWeight> StoredWeights(Module model) =>
        Fp8ModelOf(model)?.Gradients?.Weights.Where(weight => weight.Master is not null) ?? [];

    /// <summary>The largest magnitudes of a step become the scales of the next ones, on all ranks alike.</summary>
    private void AfterFp8Step()
    {
        foreach (var float8 in _models.Select(model => model.Float8).OfType<Fp8Model>())
            if (float8.AfterStep(ProcessGroup) is { } message && IsMainProcess) Console.Error.WriteLine(message);
    }
}

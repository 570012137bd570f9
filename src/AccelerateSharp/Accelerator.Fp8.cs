using AccelerateSharp.Precision.Fp8;
using TorchSharp;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

public sealed partial class Accelerator
{
    /// <inheritdoc cref="AcceleratorState.Fp8Recipe"/>
    public FP8RecipeKwargs? Fp8Recipe => _state.Fp8Recipe;

    /// <summary>Lets a model's linear layers compute in float8, if that is asked for. After sharding: its hooks come first then.</summary>
    private Fp8Model? CreateFp8Model(Module model, bool isSharded)
    {
        if (Fp8Recipe is not { } recipe) return null;
        if (recipe is MSAMPRecipeKwargs)
            throw new NotSupportedException($"Rank {ProcessIndex}: the MS-AMP levels are not supported yet; use fp8Recipe: new TERecipeKwargs() (ACCELERATE_FP8_BACKEND=TE).");
        var multiplies = Float8Hardware.Multiplies(Device);
        var float8 = new Fp8Model(model, recipe.ToSettings(multiplies), isSharded, Device, _backwardErrors);
        if (!IsMainProcess) return float8;
        Console.Error.WriteLine(float8.Choice.Describe());
        if (!multiplies && Device.type == DeviceType.CUDA)
            Console.Error.WriteLine($"fp8: {Device} does not multiply float8 (compute capability 8.9 does): the same numbers are computed in float32, which is slow. For speed use bf16.");
        return float8;
    }

    /// <summary>The largest magnitudes of a step become the scales of the next ones, on all ranks alike.</summary>
    private void AfterFp8Step()
    {
        foreach (var float8 in _models.Select(model => model.Float8).OfType<Fp8Model>())
            if (float8.AfterStep(ProcessGroup) is { } message && IsMainProcess) Console.Error.WriteLine(message);
    }
}

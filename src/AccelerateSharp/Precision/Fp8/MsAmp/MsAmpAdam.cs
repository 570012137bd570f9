using AccelerateSharp.Optimizers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>Adam and AdamW on weights that MS-AMP stores: computed in float32, one weight at a time.</summary>
/// <remarks>
/// O1 keeps both moments in float32. O2 and O3 keep the first in float8 and the second in float16, each with a scale of its own, so that
/// the range of neither is a matter of the gradients' size. A second moment that is not zero is never stored as zero.
/// </remarks>
internal static class MsAmpAdam
{
    public const string AverageInverse = "exp_avg_inverse";
    public const string SquareAverageInverse = "exp_avg_sq_inverse";

    private const string Average = AdamKernel.Average;
    private const string SquareAverage = AdamKernel.SquareAverage;

    private const float LargestHalf = 65504;
    private const float SmallestHalf = 5.9604645e-8f;

    /// <summary>Takes the steps of the weights that MS-AMP stores.</summary>
    /// <returns>The other updates.</returns>
    public static List<ParameterUpdate> Step(List<ParameterUpdate> updates, in AdamSettings settings, bool decoupled)
    {
        var (others, stored) = (new List<ParameterUpdate>(), new List<(ParameterUpdate Update, MsAmpWeight Weight)>());
        foreach (var update in updates)
        {
            if (update.Parameter is Parameter parameter && MsAmpWeight.TryFind(parameter, out var weight)) stored.Add((update, weight));
            else others.Add(update);
        }

        if (stored.Count == 0) return updates;
        if (settings.Amsgrad) throw new NotSupportedException("MS-AMP's optimizer states have no amsgrad; leave it out, or use fp8Recipe: new TERecipeKwargs().");
        foreach (var (update, weight) in stored) Step(update, weight, settings, decoupled);
        return others;
    }

    private static void Step(ParameterUpdate update, MsAmpWeight weight, in AdamSettings settings, bool decoupled)
    {
        using var scope = NewDisposeScope();
        var state = update.State;
        var isSmall = weight.Level >= MSAMPOptLevel.O2;
        if (state.IsEmpty) Create(state, weight.Parameter, isSmall);
        StepCounts.Advance([update], null);
        var step = state[ParameterState.Step];
        // On the device, like the count: nothing is read back.
        var (rate, root) = (Correction(step, settings.Beta1).mul_(-settings.LearningRate), Correction(step, settings.Beta2).sqrt_());

        var value = (weight.Master ?? weight.Parameter).detach().to(ScalarType.Float32);
        var gradient = weight.Gradient();
        using Scalar decay = settings.WeightDecay, keep = 1 - (settings.LearningRate * settings.WeightDecay), epsilon = settings.Epsilon;
        using Scalar beta1 = settings.Beta1, beta2 = settings.Beta2, rest1 = 1 - settings.Beta1, rest2 = 1 - settings.Beta2;
        if (settings.Maximize) gradient.neg_();
        if (settings.WeightDecay != 0)
        {
            if (decoupled) value.mul_(keep);
            else gradient.add_(value, alpha: decay);
        }

        var average = isSmall ? Float8Quantizer.Dequantize(state[Average], state[AverageInverse]) : state[Average];
        var square = isSmall ? state[SquareAverage].to(ScalarType.Float32).mul_(state[SquareAverageInverse]) : state[SquareAverage];
        average.mul_(beta1).add_(gradient, alpha: rest1);
        square.mul_(beta2).addcmul_(gradient, gradient, value: rest2);
        weight.Store(value.add_(average.mul(rate).div_(square.sqrt().mul_(root).add_(epsilon))));
        if (!isSmall) return;

        using var quantized = Float8Quantizer.Quantize(average, MsAmpWeight.Kind, new ScaleSource(null, null));
        state[Average].copy_(quantized.Codes!);
        state[AverageInverse].copy_(quantized.Inverse.reshape([]));
        Encode(square, state[SquareAverage], state[SquareAverageInverse]);
    }

    /// <summary>float16 with a scale that brings the largest to the top of the range.</summary>
    private static void Encode(Tensor square, Tensor half, Tensor inverse)
    {
        using Scalar top = LargestHalf, smallest = SmallestHalf, least = float.Epsilon * (1 << 23);
        inverse.copy_(square.max().div(top).clamp_min(least));
        var isZero = square.eq(0);
        var scaled = square.div(inverse).clamp_(smallest, top);
        half.copy_(zeros_like(scaled).where(isZero, scaled));
    }

    /// <summary>1 / (1 - beta^step).</summary>
    private static Tensor Correction(Tensor step, double beta)
    {
        using Scalar power = Math.Log(Math.Max(beta, double.Epsilon));
        return step.mul(power).expm1_().neg_().reciprocal_();
    }

    private static void Create(ParameterState state, Parameter parameter, bool isSmall)
    {
        state.AddStep();
        foreach (var (name, inverse, dtype) in new[] { (Average, AverageInverse, Float8Kinds.E4M3), (SquareAverage, SquareAverageInverse, ScalarType.Float16) })
        {
            state.Set(name, zeros(parameter.shape, dtype: isSmall ? dtype : ScalarType.Float32, device: parameter.device));
            if (isSmall) state.Set(inverse, ones([], dtype: ScalarType.Float32, device: parameter.device));
        }
    }
}

using AccelerateSharp.Internal.Interop;
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
        foreach (var (update, weight) in stored)
            if (update.State.IsEmpty) Create(update.State, weight.Parameter, weight.Level >= MSAMPOptLevel.O2);
        StepCounts.Advance([.. stored.Select(pair => pair.Update)], null);
        foreach (var (update, weight) in stored)
        {
            if (Float8Hardware.AdamKernels(weight.Parameter.device) is { } kernels) WithKernel(kernels, update.State, weight, settings, decoupled);
            else WithOperators(update.State, weight, settings, decoupled);
        }

        return others;
    }

    /// <summary>One pass over the memory for O1, two for the others, whose scales the first one finds.</summary>
    private static void WithKernel(CudaKernels kernels, ParameterState state, MsAmpWeight weight, in AdamSettings settings, bool decoupled)
    {
        using var scope = NewDisposeScope();
        var (parameter, count) = (weight.Parameter, weight.Parameter.numel());
        var isSmall = weight.Level >= MSAMPOptLevel.O2;
        var numbers = zeros(6, dtype: ScalarType.Float32, device: parameter.device);
        var (amax, inverses) = (numbers.narrow(0, 0, 3), numbers.narrow(0, 3, 3));
        var kernel = kernels.Get(weight.Level switch { MSAMPOptLevel.O1 => "adam_o1", MSAMPOptLevel.O2 => "adam_o2", _ => "adam_o3" }, Float8Hardware.Index(parameter.device));
        for (var write = isSmall ? 0 : 1; write <= 1; write++)
        {
            kernel.Launch(Math.Clamp(count / 4 / 256, 1, 4096), 256,
            [
                weight.GradientCodes, weight.GradientInverse, state[Average], isSmall ? state[AverageInverse] : null, state[SquareAverage], isSmall ? state[SquareAverageInverse] : null,
                weight.Master ?? parameter, weight.Master is null ? null : parameter, state[ParameterState.Step], amax, inverses, count,
                (float)settings.LearningRate, Logarithm(settings.Beta1), Logarithm(settings.Beta2), (float)settings.Beta1, (float)settings.Beta2, (float)settings.WeightDecay, (float)settings.Epsilon,
                decoupled ? 1 : 0, settings.Maximize ? 1 : 0, write,
            ]);
        }

        if (isSmall)
        {
            state[AverageInverse].copy_(inverses[0]);
            state[SquareAverageInverse].copy_(inverses[1]);
        }

        weight.Inverse?.copy_(inverses.narrow(0, 2, 1));
    }

    private static void WithOperators(ParameterState state, MsAmpWeight weight, in AdamSettings settings, bool decoupled)
    {
        using var scope = NewDisposeScope();
        var isSmall = weight.Level >= MSAMPOptLevel.O2;
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
        using Scalar power = Logarithm(beta);
        return step.mul(power).expm1_().neg_().reciprocal_();
    }

    private static float Logarithm(double beta) => (float)Math.Log(Math.Max(beta, double.Epsilon));

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

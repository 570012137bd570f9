using AccelerateSharp.Kernels;
using AccelerateSharp.Optimizers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>AdamW whose two moments take one byte each: about 2 bytes per parameter in place of 8.</summary>
/// <remarks>
/// <para>
/// Dettmers et al., "8-bit Optimizers via Block-wise Quantization", 2022: blocks of 256 with a float32 scale, and the dynamic map.
/// Each step decodes, updates and encodes a piece of fixed size at a time, in float32. One rule is added: a second moment that is
/// not zero is never stored as zero, because a weight with a vanished second moment would take a huge step.
/// </para>
/// <para>Parameters with fewer than <c>minSize</c> elements (norms, biases) keep float32 moments, which cost little and matter much.</para>
/// </remarks>
public sealed class AdamW8bit : FusedOptimizer, optim.IBetas
{
    private const string Average = AdamKernel.Average;
    private const string SquareAverage = AdamKernel.SquareAverage;
    private const string AverageScale = "exp_avg_scale";
    private const string SquareAverageScale = "exp_avg_sq_scale";

    /// <summary>Blocks that are in float32 at once: 8 million elements.</summary>
    private const long PieceBlocks = (8L << 20) / BlockQuantization.BlockSize;

    private readonly AdamKernel _small = new(Decoupled: true, ScalarType.Float32);
    private readonly long _minSize;

    /// <param name="parameters">The parameters to train.</param>
    /// <param name="lr">Learning rate.</param>
    /// <param name="beta1">Decay of the average of gradients.</param>
    /// <param name="beta2">Decay of the average of squared gradients.</param>
    /// <param name="eps">Added to the denominator.</param>
    /// <param name="weight_decay">Share of a weight, times the learning rate, that each step takes away.</param>
    /// <param name="maximize">Go up the gradient.</param>
    /// <param name="minSize">Parameters with fewer elements keep float32 moments.</param>
    public AdamW8bit(
        IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0,
        bool maximize = false, long minSize = 4096)
        : this([new AdamW.ParamGroup { Parameters = parameters }], lr, beta1, beta2, eps, weight_decay, maximize, minSize)
    {
    }

    /// <inheritdoc cref="AdamW8bit(IEnumerable{Parameter}, double, double, double, double, double, bool, long)"/>
    /// <remarks>Groups of parameters; what a group's options leave open is taken from the other arguments.</remarks>
    public AdamW8bit(
        IEnumerable<AdamW.ParamGroup> groups, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0,
        bool maximize = false, long minSize = 4096)
        : base(new AdamW.Options
        {
            LearningRate = lr,
            beta1 = beta1,
            beta2 = beta2,
            eps = eps,
            weight_decay = weight_decay,
            amsgrad = false,
            maximize = maximize,
        })
    {
        OptimizerChecks.Adam(nameof(AdamW8bit), lr, beta1, beta2, eps, weight_decay);
        _minSize = minSize;
        foreach (var group in groups) add_param_group(group);
    }

    /// <summary>The default decay rates; groups have their own.</summary>
    public (double, double) Betas
    {
        get => (Defaults.beta1!.Value, Defaults.beta2!.Value);
        set => (Defaults.beta1, Defaults.beta2) = value;
    }

    private AdamW.Options Defaults => (AdamW.Options)_defaults;

    private protected override OptimizerOptions Complete(OptimizerOptions? options)
    {
        var complete = OptionsOf<AdamW.Options>(options);
        if (complete.amsgrad == true) throw new NotSupportedException($"{nameof(AdamW8bit)} has no amsgrad: use FusedAdamW for a group that needs it.");
        complete.beta1 ??= Defaults.beta1;
        complete.beta2 ??= Defaults.beta2;
        complete.eps ??= Defaults.eps;
        complete.weight_decay ??= Defaults.weight_decay;
        complete.maximize ??= Defaults.maximize;
        complete.amsgrad = false;
        return complete;
    }

    private protected override void Update(ParamGroup group, List<ParameterUpdate> updates)
    {
        var options = (AdamW.Options)group.Options;
        var settings = new AdamSettings(
            options.LearningRate!.Value, options.beta1!.Value, options.beta2!.Value, options.weight_decay!.Value, options.eps!.Value, false, options.maximize!.Value);
        var small = updates.Where(IsSmall).ToList();
        if (small.Count > 0) _small.Step(small, settings, default);
        foreach (var update in updates.Where(update => !IsSmall(update))) Step(update, settings);
    }

    private static void Step(ParameterUpdate update, in AdamSettings settings)
    {
        var state = update.State;
        if (state.IsEmpty) Create(state, update.Parameter);
        if (state[AverageScale].numel() != BlockQuantization.Blocks(update.Parameter.numel()))
        {
            throw new InvalidOperationException(
                $"{nameof(AdamW8bit)}: the state is of {state[AverageScale].numel()} blocks and the parameter of [{string.Join(", ", update.Parameter.shape)}] elements: "
                + "it was sharded after the first step, or the state is that of another model. Prepare the model before the first step.");
        }

        StepCounts.Advance([update], null);
        using var scope = NewDisposeScope();
        var step = state[ParameterState.Step];
        // On the parameter's device, like the count: nothing is read back.
        var (rate, root) = (Correction(step, settings.Beta1).mul_(-settings.LearningRate), Correction(step, settings.Beta2).sqrt_());
        var parameter = update.Parameter.is_contiguous() ? update.Parameter.view(-1) : update.Parameter.contiguous().view(-1);
        var gradient = update.Gradient.reshape(-1);
        var isDone = EightBitAdamKernel.TryStep(
            parameter, gradient, (state[Average], state[AverageScale]), (state[SquareAverage], state[SquareAverageScale]), settings, rate, root);
        for (var block = 0L; !isDone && block < state[AverageScale].numel(); block += PieceBlocks)
        {
            using var piece = NewDisposeScope();
            var blocks = Math.Min(PieceBlocks, state[AverageScale].numel() - block);
            var start = block * BlockQuantization.BlockSize;
            var length = Math.Min(blocks * BlockQuantization.BlockSize, parameter.numel() - start);
            Update(parameter.narrow(0, start, length), gradient.narrow(0, start, length), state, block, blocks, settings, rate, root);
        }

        if (!update.Parameter.is_contiguous()) update.Parameter.copy_(parameter.view(update.Parameter.shape));
    }

    /// <summary>1 / (1 - beta^step).</summary>
    private static Tensor Correction(Tensor step, double beta)
    {
        using Scalar power = Math.Log(Math.Max(beta, double.Epsilon));
        return step.mul(power).expm1_().neg_().reciprocal_();
    }

    private static void Update(
        Tensor parameter, Tensor gradient, ParameterState state, long block, long blocks, in AdamSettings settings, Tensor rate, Tensor root)
    {
        var (signed, unsigned) = (BlockQuantization.On(parameter.device, signed: true), BlockQuantization.On(parameter.device, signed: false));
        var (codes, squareCodes) = (state[Average].narrow(0, block, blocks), state[SquareAverage].narrow(0, block, blocks));
        var (scales, squareScales) = (state[AverageScale].narrow(0, block, blocks), state[SquareAverageScale].narrow(0, block, blocks));
        var (averages, squares) = (signed.Decode(codes, scales), unsigned.Decode(squareCodes, squareScales));
        // The last block may reach over the parameter's end.
        var (average, square) = (averages.narrow(0, 0, parameter.numel()), squares.narrow(0, 0, parameter.numel()));
        using Scalar beta1 = settings.Beta1, beta2 = settings.Beta2, rest1 = settings.Maximize ? settings.Beta1 - 1 : 1 - settings.Beta1, rest2 = 1 - settings.Beta2;
        using Scalar keep = 1 - (settings.LearningRate * settings.WeightDecay), epsilon = settings.Epsilon;

        var exact = gradient.to(ScalarType.Float32);
        average.mul_(beta1).add_(exact, alpha: rest1);
        square.mul_(beta2).addcmul_(exact, exact, value: rest2);
        signed.Encode(averages, codes, scales);
        unsigned.Encode(squares, squareCodes, squareScales);

        var value = parameter.to(ScalarType.Float32);
        value.mul_(keep).add_(average.mul_(rate).div_(square.sqrt_().mul_(root).add_(epsilon)));
        if (parameter.dtype != ScalarType.Float32) parameter.copy_(value);
    }

    private static void Create(ParameterState state, Tensor parameter)
    {
        state.AddStep();
        var blocks = BlockQuantization.Blocks(parameter.numel());
        foreach (var (codes, scales, signed) in new[] { (Average, AverageScale, true), (SquareAverage, SquareAverageScale, false) })
        {
            state.Set(scales, zeros(blocks, dtype: ScalarType.Float32, device: parameter.device));
            using Scalar zero = Array.IndexOf(BlockQuantization.Map(signed), 0f);
            state.Set(codes, full([blocks, BlockQuantization.BlockSize], zero, ScalarType.Byte, parameter.device));
        }
    }

    private bool IsSmall(ParameterUpdate update) => update.Parameter.numel() < _minSize;
}

using AccelerateSharp.Optimizers;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>Adafactor: of the second moment of a matrix only row and column averages are kept, and no first moment.</summary>
/// <remarks>
/// Shazeer and Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018, as PyTorch's <c>torch.optim.Adafactor</c>
/// computes it: steps relative to the size of the weights, and updates clipped by their root mean square. Nothing is read back
/// from the device. Parameters of one dimension, and the shards of a sharded model, keep a whole second moment.
/// </remarks>
public sealed class Adafactor : FusedOptimizer
{
    private const string Rows = "row_var";
    private const string Columns = "col_var";
    private const string Variance = "variance";

    /// <param name="parameters">The parameters to train.</param>
    /// <param name="lr">Upper bound of the relative step, which falls as 1 / √step.</param>
    /// <param name="beta2_decay">How fast the average of squares forgets: it weighs the newest with step^beta2_decay.</param>
    /// <param name="eps1">Lower bound of the root of the second moment; null: the machine epsilon of the parameter's dtype.</param>
    /// <param name="eps2">Size below which a parameter's own root mean square no longer makes its steps smaller.</param>
    /// <param name="d">Root mean square above which an update is clipped.</param>
    /// <param name="weight_decay">Share of a weight, times the learning rate, that each step takes away.</param>
    /// <param name="maximize">Go up the gradient.</param>
    public Adafactor(
        IEnumerable<Parameter> parameters, double lr = 1e-2, double beta2_decay = -0.8, double? eps1 = null, double eps2 = 1e-3, double d = 1,
        double weight_decay = 0, bool maximize = false)
        : this([new ParamGroup { Parameters = parameters }], lr, beta2_decay, eps1, eps2, d, weight_decay, maximize)
    {
    }

    /// <inheritdoc cref="Adafactor(IEnumerable{Parameter}, double, double, double?, double, double, double, bool)"/>
    /// <remarks>Groups of parameters; what a group's options leave open is taken from the other arguments.</remarks>
    public Adafactor(
        IEnumerable<ParamGroup> groups, double lr = 1e-2, double beta2_decay = -0.8, double? eps1 = null, double eps2 = 1e-3, double d = 1,
        double weight_decay = 0, bool maximize = false)
        : base(new Options { LearningRate = lr, Beta2Decay = beta2_decay, Epsilon1 = eps1, Epsilon2 = eps2, ClippingThreshold = d, WeightDecay = weight_decay, Maximize = maximize })
    {
        OptimizerChecks.NotNegative(nameof(Adafactor), nameof(lr), lr);
        OptimizerChecks.NotNegative(nameof(Adafactor), nameof(eps1), eps1 ?? 0);
        OptimizerChecks.NotNegative(nameof(Adafactor), nameof(eps2), eps2);
        OptimizerChecks.NotNegative(nameof(Adafactor), nameof(weight_decay), weight_decay);
        if (beta2_decay > 0) throw new ArgumentOutOfRangeException(nameof(beta2_decay), beta2_decay, $"{nameof(Adafactor)}: beta2_decay must be 0 or less.");
        if (!(d >= 1)) throw new ArgumentOutOfRangeException(nameof(d), d, $"{nameof(Adafactor)}: the clipping threshold d must be 1 or more.");
        foreach (var group in groups) add_param_group(group);
    }

    private Options Defaults => (Options)_defaults;

    private protected override OptimizerOptions Complete(OptimizerOptions? options)
    {
        var complete = OptionsOf<Options>(options);
        complete.Beta2Decay ??= Defaults.Beta2Decay;
        complete.Epsilon1 ??= Defaults.Epsilon1;
        complete.Epsilon2 ??= Defaults.Epsilon2;
        complete.ClippingThreshold ??= Defaults.ClippingThreshold;
        complete.WeightDecay ??= Defaults.WeightDecay;
        complete.Maximize ??= Defaults.Maximize;
        return complete;
    }

    private protected override void Update(TorchSharp.Modules.ParamGroup group, List<ParameterUpdate> updates)
    {
        var options = (Options)group.Options;
        foreach (var update in updates)
        {
            using var scope = NewDisposeScope();
            Step(update, options);
        }
    }

    private static void Step(ParameterUpdate update, Options options)
    {
        var (parameter, state) = (update.Parameter, update.State);
        var gradient = update.Gradient.to(parameter.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32);
        if (options.Maximize == true) gradient = gradient.neg();
        if (state.IsEmpty) Create(state, gradient);
        StepCounts.Advance([update], null);

        var step = state[ParameterState.Step];
        var weight = step.pow(options.Beta2Decay!.Value).to(gradient.dtype);
        var epsilon = options.Epsilon1 ?? finfo(parameter.dtype).eps;
        var (lr, count) = (options.LearningRate!.Value, Math.Sqrt(parameter.numel()));
        var size = (parameter.to(gradient.dtype).norm() / count).clamp_min(options.Epsilon2!.Value);
        var rate = size * step.rsqrt().clamp_max(lr).to(gradient.dtype);
        if (options.WeightDecay != 0) parameter.mul_(1 - (lr * options.WeightDecay!.Value));

        var change = SecondMoment(state, gradient, weight, epsilon).clamp_min_(epsilon * epsilon).rsqrt_().mul_(gradient);
        var excess = (change.norm() / (count * options.ClippingThreshold!.Value)).clamp_min(1);
        parameter.sub_(change.mul_(rate / excess));
    }

    /// <summary>The running average of squares, for a matrix from its factors, in new memory.</summary>
    private static Tensor SecondMoment(ParameterState state, Tensor gradient, Tensor weight, double epsilon)
    {
        if (gradient.dim() < 2) return state[Variance].lerp_(gradient * gradient, weight).clone();
        var rows = state[Rows].lerp_(gradient.norm(-1, keepdim: true).square().div_(gradient.shape[^1]), weight);
        var columns = state[Columns].lerp_(gradient.norm(-2, keepdim: true).square().div_(gradient.shape[^2]), weight);
        return rows.matmul(columns).div_(rows.mean([-2], keepdim: true).clamp_min(epsilon));
    }

    private static void Create(ParameterState state, Tensor gradient)
    {
        state.AddStep();
        if (gradient.dim() < 2)
        {
            state.Set(Variance, zeros_like(gradient));
            return;
        }

        var (rows, columns) = (gradient.shape, gradient.shape);
        (rows[^1], columns[^2]) = (1, 1);
        state.Set(Rows, zeros(rows, gradient.dtype, gradient.device));
        state.Set(Columns, zeros(columns, gradient.dtype, gradient.device));
    }

    /// <summary>Options of a parameter group.</summary>
    public sealed class Options : OptimizerOptions
    {
        /// <summary>How fast the average of squares forgets.</summary>
        public double? Beta2Decay { get; set; }

        /// <summary>Lower bound of the root of the second moment; null: the machine epsilon of the parameter's dtype.</summary>
        public double? Epsilon1 { get; set; }

        /// <summary>Size below which a parameter's own root mean square no longer makes its steps smaller.</summary>
        public double? Epsilon2 { get; set; }

        /// <summary>Root mean square above which an update is clipped.</summary>
        public double? ClippingThreshold { get; set; }

        /// <summary>Share of a weight, times the learning rate, that each step takes away.</summary>
        public double? WeightDecay { get; set; }

        /// <summary>Go up the gradient.</summary>
        public bool? Maximize { get; set; }

        /// <inheritdoc/>
        public override void SaveStateDict(BinaryWriter writer)
        {
            base.SaveStateDict(writer);
            writer.Write(Beta2Decay!.Value);
            writer.Write(Epsilon1 ?? double.NaN);
            writer.Write(Epsilon2!.Value);
            writer.Write(ClippingThreshold!.Value);
            writer.Write(WeightDecay!.Value);
            writer.Write(Maximize!.Value);
        }

        /// <inheritdoc/>
        public override void LoadStateDict(BinaryReader reader)
        {
            base.LoadStateDict(reader);
            Beta2Decay = reader.ReadDouble();
            Epsilon1 = reader.ReadDouble() is var epsilon && double.IsNaN(epsilon) ? null : epsilon;
            (Epsilon2, ClippingThreshold, WeightDecay) = (reader.ReadDouble(), reader.ReadDouble(), reader.ReadDouble());
            Maximize = reader.ReadBoolean();
        }

        /// <inheritdoc/>
        public override void LoadStateDict(OptimizerOptions source)
        {
            base.LoadStateDict(source);
            var options = (Options)source;
            (Beta2Decay, Epsilon1, Epsilon2) = (options.Beta2Decay, options.Epsilon1, options.Epsilon2);
            (ClippingThreshold, WeightDecay, Maximize) = (options.ClippingThreshold, options.WeightDecay, options.Maximize);
        }
    }

    /// <summary>Parameters with options of their own.</summary>
    public sealed class ParamGroup : ParamGroup<Options>
    {
        /// <summary>A group whose options are the optimizer's until they are set.</summary>
        public ParamGroup()
        {
        }

        /// <param name="parameters">The parameters.</param>
        /// <param name="options">Their options.</param>
        public ParamGroup(IEnumerable<Parameter> parameters, Options? options = null)
            : base(parameters, options!)
        {
        }
    }
}

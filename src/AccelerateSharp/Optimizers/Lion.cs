using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Optimizers;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>Lion: the sign of a momentum is the step, so that the state is half of Adam's.</summary>
/// <remarks>
/// Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023. Every weight moves by the learning rate, which should
/// therefore be 3 to 10 times smaller than for AdamW, and the weight decay as many times larger.
/// </remarks>
public sealed class Lion : FusedOptimizer, optim.IBetas
{
    private const string Average = "exp_avg";

    private readonly ScalarType? _stateDtype;

    /// <param name="parameters">The parameters to train.</param>
    /// <param name="lr">Learning rate.</param>
    /// <param name="beta1">Weight of the momentum in the step's direction.</param>
    /// <param name="beta2">Decay of the momentum.</param>
    /// <param name="weight_decay">Share of a weight, times the learning rate, that each step takes away.</param>
    /// <param name="stateDtype">Dtype of the momentum; null: that of each parameter.</param>
    public Lion(IEnumerable<Parameter> parameters, double lr = 1e-4, double beta1 = 0.9, double beta2 = 0.99, double weight_decay = 0, ScalarType? stateDtype = null)
        : this([new ParamGroup { Parameters = parameters }], lr, beta1, beta2, weight_decay, stateDtype)
    {
    }

    /// <inheritdoc cref="Lion(IEnumerable{Parameter}, double, double, double, double, ScalarType?)"/>
    /// <remarks>Groups of parameters; what a group's options leave open is taken from the other arguments.</remarks>
    public Lion(IEnumerable<ParamGroup> groups, double lr = 1e-4, double beta1 = 0.9, double beta2 = 0.99, double weight_decay = 0, ScalarType? stateDtype = null)
        : base(new Options { LearningRate = lr, Beta1 = beta1, Beta2 = beta2, WeightDecay = weight_decay })
    {
        OptimizerChecks.Adam(nameof(Lion), lr, beta1, beta2, 0, weight_decay);
        _stateDtype = stateDtype;
        foreach (var group in groups) add_param_group(group);
    }

    /// <summary>The default weights of the momentum; groups have their own.</summary>
    public (double, double) Betas
    {
        get => (Defaults.Beta1!.Value, Defaults.Beta2!.Value);
        set => (Defaults.Beta1, Defaults.Beta2) = value;
    }

    private Options Defaults => (Options)_defaults;

    private protected override OptimizerOptions Complete(OptimizerOptions? options)
    {
        var complete = OptionsOf<Options>(options);
        complete.Beta1 ??= Defaults.Beta1;
        complete.Beta2 ??= Defaults.Beta2;
        complete.WeightDecay ??= Defaults.WeightDecay;
        return complete;
    }

    private protected override void Update(TorchSharp.Modules.ParamGroup group, List<ParameterUpdate> updates)
    {
        var options = (Options)group.Options;
        foreach (var update in updates.Where(update => update.State.IsEmpty)) update.State.Set(Average, zeros_like(update.Parameter, _stateDtype));
        TensorColumns.ForEach(
            [.. updates.Select(update => new[] { update.Parameter, update.Gradient, update.State[Average] })],
            (columns, _) => ForeachScript.Lion(
                columns[0], columns[1], columns[2], options.LearningRate!.Value, options.Beta1!.Value, options.Beta2!.Value, options.WeightDecay!.Value),
            bounded: true);
    }

    /// <summary>Options of a parameter group.</summary>
    public sealed class Options : OptimizerOptions
    {
        /// <summary>Weight of the momentum in the step's direction.</summary>
        public double? Beta1 { get; set; }

        /// <summary>Decay of the momentum.</summary>
        public double? Beta2 { get; set; }

        /// <summary>Share of a weight, times the learning rate, that each step takes away.</summary>
        public double? WeightDecay { get; set; }

        /// <inheritdoc/>
        public override void SaveStateDict(BinaryWriter writer)
        {
            base.SaveStateDict(writer);
            writer.Write(Beta1!.Value);
            writer.Write(Beta2!.Value);
            writer.Write(WeightDecay!.Value);
        }

        /// <inheritdoc/>
        public override void LoadStateDict(BinaryReader reader)
        {
            base.LoadStateDict(reader);
            (Beta1, Beta2, WeightDecay) = (reader.ReadDouble(), reader.ReadDouble(), reader.ReadDouble());
        }

        /// <inheritdoc/>
        public override void LoadStateDict(OptimizerOptions source)
        {
            base.LoadStateDict(source);
            var options = (Options)source;
            (Beta1, Beta2, WeightDecay) = (options.Beta1, options.Beta2, options.WeightDecay);
        }
    }

    /// <summary>Parameters with options of their own.</summary>
    public sealed class ParamGroup : ParamGroup<Options>, optim.IBetas
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

        /// <summary>The weights of the momentum.</summary>
        public (double, double) Betas
        {
            get => (Options.Beta1!.Value, Options.Beta2!.Value);
            set => (Options.Beta1, Options.Beta2) = value;
        }
    }
}

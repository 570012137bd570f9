using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>Stands for the optimizer that the <c>optimizer</c> section of a DeepSpeed configuration describes, and is it after <c>Prepare</c>.</summary>
/// <remarks>What the section says as <c>"auto"</c> is taken from here. What is said in both places must be equal.</remarks>
public sealed class DummyOptim : OptimizerHelper
{
    internal const double DefaultLearningRate = 1e-3;

    private readonly ParamGroup[] _groups;

    /// <param name="parameters">The parameters to train.</param>
    /// <param name="lr">Learning rate; 0.001 where the configuration says <c>"auto"</c> and nothing is said here.</param>
    /// <param name="weight_decay">Weight decay; 0 where the configuration says <c>"auto"</c> and nothing is said here.</param>
    /// <param name="betas">Decays of the averages.</param>
    /// <param name="eps">Added to Adam's denominator.</param>
    public DummyOptim(IEnumerable<Parameter> parameters, double? lr = null, double? weight_decay = null, (double, double)? betas = null, double? eps = null)
        : this([new ParamGroup(parameters)], lr, weight_decay, betas, eps)
    {
    }

    /// <inheritdoc cref="DummyOptim(IEnumerable{Parameter}, double?, double?, ValueTuple{double, double}?, double?)"/>
    /// <remarks>Groups of parameters; what a group leaves open is the optimizer's.</remarks>
    public DummyOptim(IEnumerable<ParamGroup> groups, double? lr = null, double? weight_decay = null, (double, double)? betas = null, double? eps = null)
    {
        ArgumentNullException.ThrowIfNull(groups);
        _groups = [.. groups];
        (LearningRate, WeightDecay, Betas, Epsilon) = (lr, weight_decay, betas, eps);
        _parameter_groups = [];
    }

    /// <summary>The optimizer that the configuration describes; null before <c>Prepare</c>.</summary>
    public FusedOptimizer? Inner { get; private set; }

    internal double? LearningRate { get; }

    internal double? WeightDecay { get; }

    internal (double, double)? Betas { get; }

    internal double? Epsilon { get; }

    internal IReadOnlyList<ParamGroup> Groups => _groups;

    /// <inheritdoc/>
    public override IEnumerable<Parameter> parameters() => _groups.SelectMany(group => group.Parameters);

    /// <inheritdoc/>
    public override Tensor step(Func<Tensor>? closure = null) => Prepared.step(closure);

    /// <inheritdoc/>
    public override void zero_grad()
    {
        foreach (var parameter in parameters()) parameter.grad = null;
    }

    /// <inheritdoc/>
    public override StateDictionary state_dict() => Prepared.state_dict();

    /// <inheritdoc/>
    public override void load_state_dict(StateDictionary state_dict) => Prepared.load_state_dict(state_dict);

    internal void Become(FusedOptimizer optimizer)
    {
        Inner = optimizer;
        _parameter_groups = optimizer.Groups;
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing) Inner?.Dispose();
        base.Dispose(disposing);
    }

    private FusedOptimizer Prepared => Inner ?? throw new InvalidOperationException("DummyOptim stands for the optimizer of a DeepSpeed configuration: give it to Accelerator.Prepare first, together with the model.");

    /// <summary>Parameters with a learning rate or weight decay of their own.</summary>
    public sealed class ParamGroup
    {
        /// <param name="parameters">The parameters.</param>
        /// <param name="lr">Their learning rate; null: the optimizer's.</param>
        /// <param name="weight_decay">Their weight decay; null: the optimizer's.</param>
        public ParamGroup(IEnumerable<Parameter> parameters, double? lr = null, double? weight_decay = null)
        {
            ArgumentNullException.ThrowIfNull(parameters);
            (Parameters, LearningRate, WeightDecay) = ([.. parameters], lr, weight_decay);
        }

        /// <summary>The parameters.</summary>
        public IReadOnlyList<Parameter> Parameters { get; }

        /// <summary>Their learning rate; null: the optimizer's.</summary>
        public double? LearningRate { get; }

        /// <summary>Their weight decay; null: the optimizer's.</summary>
        public double? WeightDecay { get; }
    }
}

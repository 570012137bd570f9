using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Optimizers;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>Stochastic gradient descent in one pass over the memory: libtorch's fused kernel for whole lists of parameters, on CPU and CUDA.</summary>
/// <remarks>
/// The arguments and the parameter groups are those of TorchSharp's <c>SGD</c>, and so are the numbers, but for <c>maximize</c>
/// together with <c>weight_decay</c>: here, as in PyTorch, the decay still makes weights smaller.
/// </remarks>
public sealed class FusedSGD : FusedOptimizer, optim.IMomentum, IScaledOptimizer
{
    private const string Momentums = "momentum_buffer";
    private const string Lists = "Tensor(a!)[] self, Tensor(b!)[] grads, Tensor(c!)[] momentum_buffer_list, *, float weight_decay, float momentum";
    private const string Rest = "float dampening, bool nesterov, bool maximize, bool is_first_step, Tensor? grad_scale=None, Tensor? found_inf=None) -> ()";

    private static readonly TorchOperator _sgd = TorchOperator.Get($"aten::_fused_sgd_({Lists}, float lr, {Rest}");
    private static readonly TorchOperator _sgdOnDevice = TorchOperator.Get($"aten::_fused_sgd_.tensor_lr({Lists}, Tensor lr, {Rest}");

    private readonly ScalarType? _stateDtype;
    private readonly Dictionary<ParamGroup, DeviceRate>? _rates;

    /// <param name="parameters">The parameters to train.</param>
    /// <param name="lr">Learning rate.</param>
    /// <param name="momentum">Decay of the sum of gradients; 0: no momentum and no state.</param>
    /// <param name="dampening">What is taken from a new gradient before it joins the sum.</param>
    /// <param name="weight_decay">L2 penalty: added to the gradient, times the weight.</param>
    /// <param name="nesterov">Nesterov's momentum, which looks one step ahead.</param>
    /// <param name="maximize">Go up the gradient.</param>
    /// <param name="capturable">Keep the learning rate in device memory too, so that a step can be captured in a CUDA graph.</param>
    /// <param name="stateDtype">Dtype of the momentum; null: that of each parameter.</param>
    public FusedSGD(
        IEnumerable<Parameter> parameters, double lr, double momentum = 0, double dampening = 0, double weight_decay = 0, bool nesterov = false,
        bool maximize = false, bool capturable = false, ScalarType? stateDtype = null)
        : this([new SGD.ParamGroup { Parameters = parameters }], lr, momentum, dampening, weight_decay, nesterov, maximize, capturable, stateDtype)
    {
    }

    /// <inheritdoc cref="FusedSGD(IEnumerable{Parameter}, double, double, double, double, bool, bool, bool, ScalarType?)"/>
    /// <remarks>Groups of parameters; what a group's options leave open is taken from the other arguments.</remarks>
    public FusedSGD(
        IEnumerable<SGD.ParamGroup> groups, double lr, double momentum = 0, double dampening = 0, double weight_decay = 0, bool nesterov = false,
        bool maximize = false, bool capturable = false, ScalarType? stateDtype = null)
        : base(new SGD.Options
        {
            LearningRate = lr,
            momentum = momentum,
            dampening = dampening,
            weight_decay = weight_decay,
            nesterov = nesterov,
            maximize = maximize,
        })
    {
        OptimizerChecks.NotNegative(nameof(FusedSGD), nameof(lr), lr);
        OptimizerChecks.NotNegative(nameof(FusedSGD), nameof(momentum), momentum);
        OptimizerChecks.NotNegative(nameof(FusedSGD), nameof(weight_decay), weight_decay);
        if (nesterov && (momentum <= 0 || dampening != 0))
            throw new ArgumentException($"{nameof(FusedSGD)}: nesterov needs a momentum above 0 and no dampening.", nameof(nesterov));
        _stateDtype = stateDtype;
        _rates = capturable ? [] : null;
        foreach (var group in groups) add_param_group(group);
    }

    /// <summary>The default momentum; groups have their own.</summary>
    public double Momentum
    {
        get => Defaults.momentum!.Value;
        set => Defaults.momentum = value;
    }

    Tensor? IScaledOptimizer.GradScale { get; set; }

    Tensor? IScaledOptimizer.FoundInf { get; set; }

    private SGD.Options Defaults => (SGD.Options)_defaults;

    private protected override OptimizerOptions Complete(OptimizerOptions? options)
    {
        var complete = OptionsOf<SGD.Options>(options);
        complete.momentum ??= Defaults.momentum;
        complete.dampening ??= Defaults.dampening;
        complete.weight_decay ??= Defaults.weight_decay;
        complete.nesterov ??= Defaults.nesterov;
        complete.maximize ??= Defaults.maximize;
        return complete;
    }

    private protected override void Update(ParamGroup group, List<ParameterUpdate> updates)
    {
        var options = (SGD.Options)group.Options;
        var rate = DeviceRate.Of(_rates, group);
        if (options.momentum == 0)
        {
            Run([.. updates.Select(update => new[] { update.Parameter, update.Gradient })], options, rate, first: false);
            return;
        }

        // The first gradient starts the sum undamped.
        foreach (var part in updates.GroupBy(update => update.State.IsEmpty))
        {
            if (part.Key)
                foreach (var update in part) update.State.Set(Momentums, zeros_like(update.Parameter, _stateDtype));
            Run([.. part.Select(update => new[] { update.Parameter, update.Gradient, update.State[Momentums] })], options, rate, part.Key);
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (!disposing || _rates is null) return;
        foreach (var rate in _rates.Values) rate.Dispose();
    }

    private void Run(IReadOnlyList<Tensor[]> rows, SGD.Options options, DeviceRate? rate, bool first)
    {
        IScaledOptimizer scaled = this;
        var scale = new StepScale(scaled.GradScale, scaled.FoundInf);
        var (lr, momentum, dampening, decay) = (options.LearningRate!.Value, options.momentum!.Value, options.dampening!.Value, options.weight_decay!.Value);
        TensorColumns.ForEach(rows, (columns, _) =>
        {
            var device = columns[0][0].device;
            Tensor[] sums = columns.Length > 2 ? columns[2] : [];
            if (rate is null)
            {
                _sgd.Call(columns[0], columns[1], sums, decay, momentum, lr, dampening, options.nesterov!.Value, options.maximize!.Value, first,
                    scale.GradScaleOn(device), scale.FoundInfOn(device));
            }
            else
            {
                _sgdOnDevice.Call(columns[0], columns[1], sums, decay, momentum, rate.On(device, lr), dampening, options.nesterov!.Value, options.maximize!.Value, first,
                    scale.GradScaleOn(device), scale.FoundInfOn(device));
            }
        });
    }
}

using AccelerateSharp.Optimizers;
using AccelerateSharp.Precision.Fp8;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>Adam in one pass over the memory: libtorch's fused kernel for whole lists of parameters, on CPU and CUDA.</summary>
/// <remarks>
/// <para>Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015. The arguments, their defaults and the parameter groups are those of TorchSharp's <c>Adam</c>, and so are the numbers.</para>
/// <para>
/// bfloat16 and float16 parameters keep moments of their own dtype, as in PyTorch, or of <c>stateDtype</c>: float32 moments beside
/// half-precision weights pass through float32 copies of a fixed size.
/// </para>
/// </remarks>
public sealed class FusedAdam : FusedOptimizer, optim.IBetas, IScaledOptimizer
{
    private readonly AdamKernel _kernel;
    private readonly Dictionary<ParamGroup, DeviceRate>? _rates;

    /// <param name="parameters">The parameters to train.</param>
    /// <param name="lr">Learning rate.</param>
    /// <param name="beta1">Decay of the average of gradients.</param>
    /// <param name="beta2">Decay of the average of squared gradients.</param>
    /// <param name="eps">Added to the denominator.</param>
    /// <param name="weight_decay">L2 penalty: added to the gradient, times the weight.</param>
    /// <param name="amsgrad">Divide by the largest average of squares so far (Reddi et al. 2018).</param>
    /// <param name="maximize">Go up the gradient.</param>
    /// <param name="capturable">Keep the learning rate in device memory too, so that a step can be captured in a CUDA graph.</param>
    /// <param name="stateDtype">Dtype of the moments; null: that of each parameter.</param>
    public FusedAdam(
        IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0,
        bool amsgrad = false, bool maximize = false, bool capturable = false, ScalarType? stateDtype = null)
        : this([new Adam.ParamGroup { Parameters = parameters }], lr, beta1, beta2, eps, weight_decay, amsgrad, maximize, capturable, stateDtype)
    {
    }

    /// <inheritdoc cref="FusedAdam(IEnumerable{Parameter}, double, double, double, double, double, bool, bool, bool, ScalarType?)"/>
    /// <remarks>Groups of parameters; what a group's options leave open is taken from the other arguments.</remarks>
    public FusedAdam(
        IEnumerable<Adam.ParamGroup> groups, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weight_decay = 0,
        bool amsgrad = false, bool maximize = false, bool capturable = false, ScalarType? stateDtype = null)
        : base(new Adam.Options
        {
            LearningRate = lr,
            beta1 = beta1,
            beta2 = beta2,
            eps = eps,
            weight_decay = weight_decay,
            amsgrad = amsgrad,
            maximize = maximize,
        })
    {
        OptimizerChecks.Adam(nameof(FusedAdam), lr, beta1, beta2, eps, weight_decay);
        _kernel = new AdamKernel(Decoupled: false, stateDtype);
        _rates = capturable ? [] : null;
        foreach (var group in groups) add_param_group(group);
    }

    /// <summary>The default decay rates; groups have their own.</summary>
    public (double, double) Betas
    {
        get => (Defaults.beta1!.Value, Defaults.beta2!.Value);
        set => (Defaults.beta1, Defaults.beta2) = value;
    }

    Tensor? IScaledOptimizer.GradScale { get; set; }

    Tensor? IScaledOptimizer.FoundInf { get; set; }

    private Adam.Options Defaults => (Adam.Options)_defaults;

    private protected override OptimizerOptions Complete(OptimizerOptions? options)
    {
        var complete = OptionsOf<Adam.Options>(options);
        complete.beta1 ??= Defaults.beta1;
        complete.beta2 ??= Defaults.beta2;
        complete.eps ??= Defaults.eps;
        complete.weight_decay ??= Defaults.weight_decay;
        complete.amsgrad ??= Defaults.amsgrad;
        complete.maximize ??= Defaults.maximize;
        return complete;
    }

    private protected override void Update(ParamGroup group, List<ParameterUpdate> updates)
    {
        var options = (Adam.Options)group.Options;
        IScaledOptimizer scaled = this;
        var settings = new AdamSettings(
            options.LearningRate!.Value, options.beta1!.Value, options.beta2!.Value, options.weight_decay!.Value, options.eps!.Value,
            options.amsgrad!.Value, options.maximize!.Value);
        updates = MsAmpAdam.Step(updates, settings, decoupled: false);
        if (updates.Count > 0) _kernel.Step(updates, settings, new StepScale(scaled.GradScale, scaled.FoundInf), DeviceRate.Of(_rates, group));
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (!disposing || _rates is null) return;
        foreach (var rate in _rates.Values) rate.Dispose();
    }
}

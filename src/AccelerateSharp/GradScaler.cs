using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Precision;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>Scales the loss under fp16, so that small gradients do not vanish, and finds the scale that just does not overflow.</summary>
/// <remarks>
/// <see cref="Accelerator.Backward(Tensor)"/> drives it. PyTorch's algorithm: the scale is halved after a step whose gradients
/// overflowed, which is skipped, and doubled after 2000 steps in a row that did not (Micikevicius et al., "Mixed Precision
/// Training", ICLR 2018). The scale lives on the device; only <see cref="Scale"/> and <see cref="StateDict"/> wait for it.
/// </remarks>
public sealed class GradScaler : IDisposable
{
    private static readonly TorchOperator _unscale = TorchOperator.Get(
        "aten::_amp_foreach_non_finite_check_and_unscale_(Tensor(a!)[] self, Tensor(b!) found_inf, Tensor inv_scale) -> ()");

    private static readonly TorchOperator _update = TorchOperator.Get(
        "aten::_amp_update_scale_(Tensor(a!) self, Tensor(b!) growth_tracker, Tensor found_inf, float scale_growth_factor, float scale_backoff_factor, int growth_interval) -> Tensor(a!)");

    private static readonly TorchOperator _multiply = TorchOperator.Get("aten::_foreach_mul_.Tensor(Tensor(a!)[] self, Tensor other) -> ()");

    private readonly DeepSpeedLossScale? _rule;
    private readonly Tensor _scale;
    private readonly Tensor _growthTracker;
    private double _growthFactor;
    private double _backoffFactor;
    private int _growthInterval;

    /// <param name="options">The first scale, and PyTorch's rule.</param>
    /// <param name="device">Where the scale lives.</param>
    /// <param name="rule">DeepSpeed's rule in place of PyTorch's.</param>
    internal GradScaler(GradScalerKwargs options, Device device, DeepSpeedLossScale? rule = null)
    {
        options.Validate();
        _rule = rule;
        (_growthFactor, _backoffFactor, _growthInterval) = (options.GrowthFactor, options.BackoffFactor, options.GrowthInterval);
        _scale = tensor((float)options.InitScale, device: device).DetachFromDisposeScope();
        _growthTracker = tensor(0, ScalarType.Int32, device: device).DetachFromDisposeScope();
    }

    /// <summary>What the loss is multiplied by now. Reading it waits for the device.</summary>
    public double Scale => _scale.item<float>();

    /// <summary>The scale and its settings, for a checkpoint.</summary>
    public GradScalerState StateDict() => new()
    {
        Scale = Scale,
        GrowthTracker = _rule?.GoodSteps ?? _growthTracker.item<int>(),
        Hysteresis = _rule?.Hysteresis ?? 1,
        GrowthFactor = _growthFactor,
        BackoffFactor = _backoffFactor,
        GrowthInterval = _growthInterval,
    };

    /// <summary>Goes on from a checkpoint, with its settings.</summary>
    public void LoadStateDict(GradScalerState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        new GradScalerKwargs
        {
            InitScale = state.Scale,
            GrowthFactor = state.GrowthFactor,
            BackoffFactor = state.BackoffFactor,
            GrowthInterval = state.GrowthInterval,
        }.Validate();
        using var noGrad = no_grad();
        _scale.fill_(state.Scale);
        _growthTracker.fill_(state.GrowthTracker);
        _rule?.Load(state.GrowthTracker, state.Hysteresis);
        (_growthFactor, _backoffFactor, _growthInterval) = (state.GrowthFactor, state.BackoffFactor, state.GrowthInterval);
    }

    /// <summary>Releases the scale's memory.</summary>
    public void Dispose()
    {
        _scale.Dispose();
        _growthTracker.Dispose();
    }

    /// <summary>The loss to differentiate.</summary>
    internal Tensor ScaleLoss(Tensor loss)
    {
        using var scale = _scale.to(loss.device);
        return loss * scale;
    }

    /// <summary>Brings gradients that were unscaled back to the scale, so that scaled ones can be added to them.</summary>
    internal void Rescale(IEnumerable<Tensor> gradients)
    {
        using var noGrad = no_grad();
        foreach (var (device, tensors) in AlikeTensors.Of(gradients))
        {
            using var scale = _scale.to(device);
            _multiply.Call(tensors, scale);
        }
    }

    /// <summary>Divides gradients by the scale, in place.</summary>
    /// <returns>Above zero if one of them is infinite or not a number: one element, float32, on the scale's device.</returns>
    internal Tensor Unscale(IEnumerable<Tensor> gradients)
    {
        using var noGrad = no_grad();
        var foundAny = zeros_like(_scale);
        foreach (var (device, tensors) in AlikeTensors.Of(gradients))
        {
            using var found = zeros([], dtype: ScalarType.Float32, device: device);
            using var exact = _scale.to(ScalarType.Float64);
            using var reciprocal = exact.reciprocal();
            using var inverse = reciprocal.to(ScalarType.Float32, device);
            _unscale.Call(tensors, found, inverse);
            using var here = found.to(_scale.device);
            foundAny.add_(here);
        }

        return foundAny;
    }

    /// <summary>After a step: grows or shrinks the scale.</summary>
    /// <param name="foundInf">Above zero if any gradient overflowed.</param>
    internal void Update(Tensor foundInf)
    {
        using var noGrad = no_grad();
        if (_rule is not null)
        {
            _scale.fill_(_rule.Next(Scale, foundInf.item<float>() > 0));
            return;
        }

        _update.Call(_scale, _growthTracker, foundInf, _growthFactor, _backoffFactor, (long)_growthInterval);
    }
}

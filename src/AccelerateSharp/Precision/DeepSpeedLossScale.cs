using AccelerateSharp.Parallel.DeepSpeed;

namespace AccelerateSharp.Precision;

/// <summary>DeepSpeed's rule for the loss scale: overflows are tolerated for a while (hysteresis), and there is a smallest scale.</summary>
internal sealed class DeepSpeedLossScale(LossScaleSettings settings)
{
    private const double Factor = 2;

    private long _iteration;
    private long _lastOverflow = -1;

    /// <summary>Overflows until the scale is halved.</summary>
    public int Hysteresis { get; private set; } = settings.Hysteresis;

    /// <summary>Steps in a row without an overflow.</summary>
    public int GoodSteps => (int)(_iteration - _lastOverflow - 1);

    /// <summary>Goes on from a checkpoint.</summary>
    public void Load(int goodSteps, int hysteresis)
    {
        (_iteration, _lastOverflow) = (goodSteps, -1);
        Hysteresis = Math.Clamp(hysteresis, 1, settings.Hysteresis);
    }

    /// <summary>The scale after a step.</summary>
    /// <exception cref="OverflowException">It cannot become smaller.</exception>
    public double Next(double scale, bool overflowed)
    {
        if (settings.Static > 0) return scale;
        if (overflowed)
        {
            if (Hysteresis > 1) Hysteresis--;
            else if (scale <= settings.Minimum)
                throw new OverflowException($"fp16: gradients overflow at the smallest loss scale (fp16.min_loss_scale {settings.Minimum}). The loss or the gradients are infinite or not a number; look for the step before, lower the learning rate, or use bf16.");
            else scale = Math.Max(scale / Factor, settings.Minimum);
            _lastOverflow = _iteration;
        }
        else
        {
            if (settings.ConsecutiveHysteresis) Hysteresis = settings.Hysteresis;
            var stable = _iteration - _lastOverflow - 1;
            if (stable > 0 && stable % settings.Window == 0)
            {
                Hysteresis = settings.Hysteresis;
                scale *= Factor;
            }
        }

        _iteration++;
        return scale;
    }
}

namespace AccelerateSharp.Parallel.DeepSpeed;

/// <summary>The <c>fp16</c> section's loss scale.</summary>
/// <param name="Static">A scale that never changes; 0: dynamic.</param>
/// <param name="InitialPower">The first dynamic scale is 2 to this power.</param>
/// <param name="Window">Steps without an overflow until it doubles.</param>
/// <param name="Hysteresis">Overflows until it is halved.</param>
/// <param name="ConsecutiveHysteresis">Whether a good step makes up for earlier overflows.</param>
/// <param name="Minimum">The smallest scale.</param>
internal sealed record LossScaleSettings(double Static, int InitialPower, int Window, int Hysteresis, bool ConsecutiveHysteresis, double Minimum)
{
    public double Initial => Static > 0 ? Static : Math.Pow(2, InitialPower);
}

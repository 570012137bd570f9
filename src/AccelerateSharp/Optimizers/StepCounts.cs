using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Optimizers;

/// <summary>The step counts that fused kernels read on the device.</summary>
internal static class StepCounts
{
    /// <summary>Counts one step for each parameter; a step that an overflow will make the kernel skip is not counted.</summary>
    public static void Advance(IReadOnlyList<ParameterUpdate> updates, Tensor? foundInf)
    {
        foreach (var group in updates.Select(update => update.State[ParameterState.Step]).GroupBy(step => step.device.ToString()))
        {
            Tensor[] steps = [.. group];
            var one = ones([], dtype: ScalarType.Float32, device: steps[0].device);
            ForeachScript.Add(steps, foundInf is null ? one : one - foundInf.to(steps[0].device));
        }
    }
}

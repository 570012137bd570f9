using TorchSharp;
using static TorchSharp.torch.optim.lr_scheduler;

namespace AccelerateSharp.Optimizers;

/// <summary>Turns a scheduler into one that knows of accumulation, skipped steps and the number of processes.</summary>
internal static class SchedulerPreparation
{
    /// <summary>Wraps <paramref name="scheduler"/>; one that is prepared already comes back as it is.</summary>
    /// <param name="variable">What stands in the user's variable, whose type is the type of the result.</param>
    /// <param name="scheduler">The same object as a scheduler.</param>
    /// <param name="state">Says whether gradients are being accumulated.</param>
    /// <param name="stepWasSkipped">Whether an optimizer of this scheduler skipped its last step.</param>
    /// <param name="size">Number of data-parallel processes.</param>
    /// <param name="splitBatches">Whether the batch size is the global one.</param>
    /// <param name="stepWithOptimizer">False for a scheduler that the user steps on their own terms (per epoch, say).</param>
    /// <exception cref="ArgumentException">The variable has a concrete type, which a wrapper cannot be assigned to.</exception>
    public static T Prepare<T>(
        T variable, LRScheduler scheduler, GradientState state, Func<bool> stepWasSkipped, int size, bool splitBatches, bool stepWithOptimizer = true)
    {
        if (scheduler is AcceleratedScheduler) return variable;
        var prepared = new AcceleratedScheduler(scheduler, state, stepWasSkipped, splitBatches ? 1 : size, stepWithOptimizer);
        return prepared is T typed ? typed : throw new ArgumentException(
            $"A prepared scheduler cannot be assigned to a variable of type {typeof(T).Name}. "
            + $"Declare it as LRScheduler: LRScheduler scheduler = new {typeof(T).Name}(…).",
            nameof(scheduler));
    }

    /// <summary>The optimizer whose learning rates <paramref name="scheduler"/> sets; null for a chain of schedulers.</summary>
    public static torch.optim.Optimizer? OptimizerOf(LRScheduler scheduler) => SchedulerFields.Optimizer(scheduler);
}

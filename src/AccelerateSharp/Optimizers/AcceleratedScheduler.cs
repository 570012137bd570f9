using AccelerateSharp.Optimizers;
using static TorchSharp.torch.optim.lr_scheduler;

namespace AccelerateSharp;

/// <summary>A learning-rate scheduler that advances in step with the optimizers it belongs to.</summary>
/// <remarks>
/// <para>
/// One call of <see cref="step()"/> moves the schedule by as many steps as there are processes, because that is how many batches
/// a global step consumes: a schedule planned for one process (its steps counted over the unprepared loader) ends at the same point
/// of the data on any number of them. With split batches, whose global batch does not grow, a call is one step. Nothing moves
/// while gradients accumulate, nor after an optimizer step that was skipped for overflow.
/// </para>
/// <para>
/// A call that names the epoch, and a call that reports a metric to <c>ReduceLROnPlateau</c>, happen once: neither counts batches.
/// (The reference repeats them, which divides the patience of a plateau by the number of processes.)
/// </para>
/// </remarks>
public sealed class AcceleratedScheduler : LRScheduler
{
    private readonly GradientState _state;
    private readonly Func<bool> _stepWasSkipped;
    private readonly int _stepsPerCall;
    private readonly bool _stepWithOptimizer;

    internal AcceleratedScheduler(
        LRScheduler scheduler, GradientState state, Func<bool> stepWasSkipped, int stepsPerCall, bool stepWithOptimizer)
    {
        Inner = scheduler;
        _state = state;
        _stepWasSkipped = stepWasSkipped;
        _stepsPerCall = stepsPerCall;
        _stepWithOptimizer = stepWithOptimizer;
        Mirror();
    }

    /// <summary>The scheduler that was prepared.</summary>
    public LRScheduler Inner { get; }

    /// <summary>Advances the schedule by one global step.</summary>
    public override void step() => Advance(Inner.step);

    /// <summary>Moves the schedule to <paramref name="epoch"/>; without one, the same as <see cref="step()"/>.</summary>
    /// <param name="epoch">The epoch to move to.</param>
    public override void step(int? epoch)
    {
        if (epoch is null) Advance(Inner.step);
        else Once(() => Inner.step(epoch));
    }

    /// <summary>Reports a metric to the schedule.</summary>
    /// <param name="current">The metric's value. Should be the same on every process (reduce it first).</param>
    /// <param name="epoch">The epoch to move to; null for the next one.</param>
    public override void step(double current, int? epoch = null)
    {
        if (Inner is impl.ReduceLROnPlateau || epoch is not null) Once(() => Inner.step(current, epoch));
        else Advance(() => Inner.step(current));
    }

    private bool IsWaiting => _stepWithOptimizer && (!_state.SyncGradients || _stepWasSkipped());

    private void Once(Action step)
    {
        if (IsWaiting) return;
        step();
        Mirror();
    }

    private void Advance(Action step)
    {
        if (IsWaiting) return;
        var times = _stepWithOptimizer ? _stepsPerCall : 1;
        // One cycle has an end: the last global step may reach over it.
        var end = times > 1 && Inner is impl.OneCycleLR cycle ? SchedulerFields.TotalSteps(cycle) : int.MaxValue;
        for (var i = 0; i < times && SchedulerFields.StepCount(Inner) <= end; i++) step();
        Mirror();
    }

    /// <summary>get_last_lr and what other code reads of the base class are those of the inner scheduler.</summary>
    private void Mirror()
    {
        SchedulerFields.Optimizer(this) = SchedulerFields.Optimizer(Inner);
        SchedulerFields.LastEpoch(this) = SchedulerFields.LastEpoch(Inner);
        SchedulerFields.StepCount(this) = SchedulerFields.StepCount(Inner);
        SchedulerFields.BaseLearningRates(this) = SchedulerFields.BaseLearningRates(Inner);
        SchedulerFields.LastLearningRates(this) = SchedulerFields.LastLearningRates(Inner);
    }
}

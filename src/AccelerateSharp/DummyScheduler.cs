using AccelerateSharp.Optimizers;
using AccelerateSharp.Parallel.DeepSpeed;
using TorchSharp;
using static TorchSharp.torch.optim.lr_scheduler;

namespace AccelerateSharp;

/// <summary>Stands for the schedule that the <c>scheduler</c> section of a DeepSpeed configuration describes, and is it after <c>Prepare</c>.</summary>
/// <remarks>
/// One call of <see cref="step()"/> is one step of the schedule, for each optimizer step: unlike an <see cref="AcceleratedScheduler"/> it is
/// planned for the job, and <c>totalNumSteps</c>, which counts the unprepared loader's batches, is divided by the number of processes.
/// Nothing moves while gradients accumulate, nor after an optimizer step that was skipped for overflow.
/// </remarks>
public sealed class DummyScheduler : LRScheduler
{
    private readonly Func<torch.optim.Optimizer, LRScheduler>? _create;
    private WarmupSchedule? _schedule;
    private LRScheduler? _inner;
    private Func<bool> _isWaiting = static () => true;
    private long _steps = -1;

    /// <param name="optimizer">The optimizer whose learning rates the schedule sets.</param>
    /// <param name="totalNumSteps">Optimizer steps of one process that saw all the data; taken where the configuration says <c>"auto"</c>.</param>
    /// <param name="warmupNumSteps">Steps of warm-up; taken where the configuration says <c>"auto"</c> (else 0).</param>
    /// <param name="lrSchedulerCallable">Makes the schedule from the prepared optimizer, in place of a <c>scheduler</c> section.</param>
    public DummyScheduler(torch.optim.Optimizer optimizer, long? totalNumSteps = null, long? warmupNumSteps = null, Func<torch.optim.Optimizer, LRScheduler>? lrSchedulerCallable = null)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        (Optimizer, TotalNumSteps, WarmupNumSteps, _create) = (optimizer, totalNumSteps, warmupNumSteps, lrSchedulerCallable);
        SchedulerFields.Optimizer(this) = optimizer;
    }

    /// <summary>How many steps of the schedule were taken.</summary>
    public long StepCount => _steps + 1;

    internal torch.optim.Optimizer Optimizer { get; }

    internal long? TotalNumSteps { get; }

    internal long? WarmupNumSteps { get; }

    internal bool MakesItsOwn => _create is not null;

    internal bool IsPrepared => _schedule is not null || _inner is not null;

    /// <summary>Advances the schedule by one step.</summary>
    public override void step()
    {
        if (!IsPrepared) throw new InvalidOperationException("DummyScheduler stands for the schedule of a DeepSpeed configuration: give it to Accelerator.Prepare first.");
        if (_isWaiting()) return;
        _steps++;
        _inner?.step();
        Show();
    }

    /// <summary>Moves the schedule to a step; without one, the same as <see cref="step()"/>.</summary>
    /// <param name="epoch">The number of steps taken before; -1 at the start.</param>
    public override void step(int? epoch)
    {
        if (epoch is not { } target)
        {
            step();
            return;
        }

        _steps = target;
        _inner?.step(epoch);
        Show();
    }

    /// <summary>Becomes the schedule of the configuration, or of the program's function.</summary>
    /// <param name="schedule">Makes the configuration's schedule for learning rates.</param>
    /// <param name="isWaiting">Whether a step is not one now: gradients accumulate, or the optimizer skipped its own.</param>
    internal void Become(Func<double[], WarmupSchedule> schedule, Func<bool> isWaiting)
    {
        _isWaiting = isWaiting;
        if (_create is not null) _inner = _create(Optimizer);
        else _schedule = schedule([.. Optimizer.ParamGroups.Select(group => group.LearningRate)]);
        Show();
    }

    private void Show()
    {
        if (_schedule is { } schedule)
        {
            var rates = schedule.At(_steps);
            foreach (var (group, rate) in Optimizer.ParamGroups.Zip(rates)) group.LearningRate = rate;
        }

        SchedulerFields.LastEpoch(this) = (int)_steps;
        SchedulerFields.LastLearningRates(this) = [.. Optimizer.ParamGroups.Select(group => group.LearningRate)];
    }
}

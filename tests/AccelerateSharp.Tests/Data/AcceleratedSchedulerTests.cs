using AccelerateSharp.Optimizers;
using TorchSharp;
using static TorchSharp.torch.optim.lr_scheduler;

namespace AccelerateSharp.Tests.Data;

public class AcceleratedSchedulerTests
{
    private readonly GradientState _state = new();
    private bool _skipped;

    [Theory]
    [InlineData(2, false, true, new[] { .25, .0625, .015625 })]
    [InlineData(3, false, true, new[] { .125, .015625, .001953125 })]
    [InlineData(2, true, true, new[] { .5, .25, .125 })]
    [InlineData(2, false, false, new[] { .5, .25, .125 })]
    public void A_step_is_as_many_steps_as_there_are_processes(int size, bool split, bool withOptimizer, double[] expected)
    {
        using var optimizer = Sgd();
        var scheduler = Prepare(StepLR(optimizer, 1, .5), size, split, withOptimizer);
        foreach (var rate in expected)
        {
            scheduler.step();
            Assert.Equal(rate, Rate(optimizer), 12);
            Assert.Equal(rate, scheduler.get_last_lr().Single(), 12);
        }
    }

    [Theory]
    [InlineData(2, new[] { 2, 4, 5, 5 }, new[] { 3, 5, 6, 6 })]
    [InlineData(3, new[] { 3, 5, 5 }, new[] { 4, 6, 6 })]
    public void A_cycle_is_not_stepped_over_its_end(int size, int[] epochs, int[] counts)
    {
        using var optimizer = Sgd(momentum: .9);
        var inner = OneCycleLR(optimizer, max_lr: 1, total_steps: 5);
        var scheduler = Prepare(inner, size);
        Assert.Equal((0, 1), (SchedulerFields.LastEpoch(inner), SchedulerFields.StepCount(inner)));
        foreach (var (epoch, count) in epochs.Zip(counts))
        {
            scheduler.step();
            Assert.Equal((epoch, count), (SchedulerFields.LastEpoch(inner), SchedulerFields.StepCount(inner)));
        }
    }

    [Fact]
    public void Nothing_moves_while_gradients_accumulate()
    {
        using var optimizer = Sgd();
        var scheduler = Prepare(StepLR(optimizer, 1, .5), 2);
        var seen = new List<(int, int)>();
        for (var batch = 1; batch <= 4; batch++)
        {
            _state.SyncGradients = batch % 2 == 0;
            scheduler.step();
            seen.Add((SchedulerFields.LastEpoch(scheduler), SchedulerFields.StepCount(scheduler)));
        }
        Assert.Equal([(0, 1), (2, 3), (2, 3), (4, 5)], seen);
    }

    [Fact]
    public void Nothing_moves_after_a_skipped_optimizer_step()
    {
        using var optimizer = Sgd();
        var scheduler = Prepare(LambdaLR(optimizer, n => 1 - n / 10.0), 2);
        scheduler.step();
        Assert.Equal(.8, Rate(optimizer), 12);
        _skipped = true;
        scheduler.step();
        Assert.Equal(.8, Rate(optimizer), 12);
        _skipped = false;
        scheduler.step();
        Assert.Equal(.6, Rate(optimizer), 12);
    }

    [Fact]
    public void A_linear_decay_planned_for_one_process_ends_at_zero()
    {
        using var optimizer = Sgd();
        const int AccumulationSteps = 4;
        var scheduler = Prepare(LambdaLR(optimizer, n => Math.Max(0, 1 - n / 20.0)), 2);
        for (var batch = 1; batch <= 10 * AccumulationSteps; batch++)
        {
            Assert.True(Rate(optimizer) > 0);
            _state.SyncGradients = batch % AccumulationSteps == 0;
            scheduler.step();
        }
        Assert.Equal(0, Rate(optimizer), 12);
    }

    [Fact]
    public void A_metric_is_one_observation_on_any_number_of_processes()
    {
        using var optimizer = Sgd();
        var scheduler = Prepare(ReduceLROnPlateau(optimizer, patience: 2, factor: .5), 8);
        foreach (var metric in new[] { 1.0, 1, 1 }) scheduler.step(metric);
        Assert.Equal(1, Rate(optimizer), 12);
        scheduler.step(1.0);
        Assert.Equal(.5, Rate(optimizer), 12);
    }

    [Fact]
    public void A_named_epoch_is_reached_once_and_a_metric_is_ignored_by_other_schedules()
    {
        using var optimizer = Sgd();
        var scheduler = Prepare(StepLR(optimizer, 1, .5), 2);
        scheduler.step(3);
        Assert.Equal(3, SchedulerFields.LastEpoch(scheduler));
        Assert.Equal(.125, Rate(optimizer), 12);
        scheduler.step(.25);
        Assert.Equal(5, SchedulerFields.LastEpoch(scheduler));
        scheduler.step((int?)null);
        Assert.Equal(7, SchedulerFields.LastEpoch(scheduler));
    }

    [Fact]
    public void Preparing_twice_changes_nothing_and_a_concrete_variable_is_explained()
    {
        using var optimizer = Sgd();
        var once = Prepare(StepLR(optimizer, 1, .5), 2);
        Assert.Same(once, Prepare(once, 2));
        Assert.Same(optimizer, SchedulerPreparation.OptimizerOf(once));
        var concrete = new impl.StepLR(optimizer, 1);
        var error = Assert.Throws<ArgumentException>(() => SchedulerPreparation.Prepare(concrete, concrete, _state, () => false, 2, false));
        Assert.Contains("Declare it as LRScheduler", error.Message, StringComparison.Ordinal);
    }

    private LRScheduler Prepare(LRScheduler scheduler, int size, bool split = false, bool withOptimizer = true) =>
        SchedulerPreparation.Prepare(scheduler, scheduler, _state, () => _skipped, size, split, withOptimizer);

    private static torch.optim.Optimizer Sgd(double momentum = 0) =>
        torch.optim.SGD([new TorchSharp.Modules.Parameter(torch.zeros(1))], 1.0, momentum);

    private static double Rate(torch.optim.Optimizer optimizer) => optimizer.ParamGroups.Single().LearningRate;
}

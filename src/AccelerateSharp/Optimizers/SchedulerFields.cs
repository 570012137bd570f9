using System.Runtime.CompilerServices;
using TorchSharp;
using static TorchSharp.torch.optim.lr_scheduler;

namespace AccelerateSharp.Optimizers;

/// <summary>The state of TorchSharp's schedulers that has no public door.</summary>
internal static class SchedulerFields
{
    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_optimizer")]
    public static extern ref torch.optim.Optimizer Optimizer(LRScheduler scheduler);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_last_epoch")]
    public static extern ref int LastEpoch(LRScheduler scheduler);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_step_count")]
    public static extern ref int StepCount(LRScheduler scheduler);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_base_lrs")]
    public static extern ref IList<double> BaseLearningRates(LRScheduler scheduler);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_last_lrs")]
    public static extern ref IList<double> LastLearningRates(LRScheduler scheduler);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_total_steps")]
    public static extern ref int TotalSteps(impl.OneCycleLR scheduler);
}

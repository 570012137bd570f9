namespace AccelerateSharp.DistributedTests;

/// <summary>The promise of data-parallel training: the same losses and gradients as on one process.</summary>
public class DataParallelTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    public void Losses_and_gradients_are_those_of_one_process(int size) => WorkerGroup.Run("DataParallelEquality", size, "50");

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    public void Four_accumulated_batches_equal_one_of_four_times_the_size(int size) => WorkerGroup.Run("AccumulationEquality", size, "20");

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    public void The_reference_vectors_come_out(int size) => WorkerGroup.Run("RegressionVectors", size);

    [Fact]
    public void In_debug_mode_parameters_that_nobody_uses_are_named()
    {
        using var group = WorkerGroup.Start("DataParallelEquality", 2, ["2"], new Dictionary<string, string> { ["ACCELERATE_DEBUG_MODE"] = "true" });
        group.WaitForExit();
        group.AssertSuccess();
        Assert.Contains("Partial: no rank computed a gradient of _unused.weight, _unused.bias.", group[0].Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("_unused.weight", group[1].Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_thousand_steps_leave_nothing_behind() => WorkerGroup.Run("DataParallelLeavesNothing", 2);
}

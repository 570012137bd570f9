namespace AccelerateSharp.DistributedTests;

public class CollectiveTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void Every_collective_gives_the_answer_computed_locally(int size) => WorkerGroup.Run("Collectives", size);

    [Fact]
    public void Sub_groups_run_at_the_same_time() => WorkerGroup.Run("SubGroups", 4);

    [Fact]
    public void A_thousand_steps_leave_no_tensor_and_no_memory_behind() => WorkerGroup.Run("NoLeak", 2);
}

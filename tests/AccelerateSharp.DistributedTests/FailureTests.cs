namespace AccelerateSharp.DistributedTests;

public class FailureTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void A_mismatch_is_an_error_on_every_rank_at_once(int size) => WorkerGroup.Run("Mismatches", size);

    [Fact]
    public void Sender_and_receiver_must_agree() => WorkerGroup.Run("TransferMismatch", 2);

    [Theory]
    [InlineData("inside")]
    [InlineData("before")]
    public void A_killed_worker_is_named_by_all_that_are_left(string when)
    {
        using var workers = WorkerGroup.Start("PeerDies", 3, [when]);
        workers[2].WaitForOutput("kill me");
        workers[2].Kill();
        workers.WaitForExit(TimeSpan.FromSeconds(30));
        Assert.True(workers[0].ExitCode == 0 && workers[1].ExitCode == 0, workers.Report());
        Assert.NotEqual(0, workers[2].ExitCode);
    }

    [Fact]
    public void A_time_out_names_the_rank_that_did_not_come() => WorkerGroup.Run("PeerIsLate", 3);

    [Fact]
    public void A_rank_that_never_joins_is_named() => WorkerGroup.Run("PeerNeverJoins", 3);

    [Fact]
    public void A_rank_that_leaves_early_is_named() => WorkerGroup.Run("PeerLeaves", 3);
}

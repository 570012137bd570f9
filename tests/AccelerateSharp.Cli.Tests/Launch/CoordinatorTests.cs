using AccelerateSharp.Cli.Launch;
using AccelerateSharp.Cli.Launch.Machines;

namespace AccelerateSharp.Cli.Tests.Launch;

/// <summary>The decisions of the coordinator, without processes or connections.</summary>
public sealed class CoordinatorTests
{
    private readonly ManualClock _clock = new();
    private readonly List<Order> _orders = [];
    private Coordinator _coordinator = null!;
    private string? _knownCause;

    [Fact]
    public void Machines_of_a_fixed_job_start_when_all_are_here_with_the_ranks_that_they_were_given()
    {
        Open(new MachineRange(3, 3));
        Ready(7, rank: 2, workers: 1, role: "reader");
        Ready(8, rank: 0, workers: 2);
        Assert.Empty(_orders);
        Ready(9, rank: 1, workers: 3);
        var start = Assert.Single(_orders);
        Assert.Equal((OrderKind.Start, 0, 0), (start.Kind, start.Generation, start.Restarts));
        Assert.Equal(
            [new Place(8, "host8", 0, 2, 0, 5), new Place(9, "host9", 2, 3, 2, 5), new Place(7, "host7", 5, 1, 0, 1)],
            start.Places);
    }

    [Fact]
    public void A_failure_stops_all_and_the_next_attempt_waits_for_all()
    {
        Open(new MachineRange(2, 2), maxRestarts: 1);
        Start(2);
        Fail(2, exitCode: 7);
        Assert.Equal((OrderKind.Stop, 0, 1), (_orders[^1].Kind, _orders[^1].Generation, _orders[^1].Restarts));
        Assert.Contains("machine 1 (host2): rank 5 failed; restart 1 of 1", _orders[^1].Text, StringComparison.Ordinal);
        Ready(1, rank: 0);
        Assert.Equal(OrderKind.Stop, _orders[^1].Kind);
        Ready(2, rank: 1);
        Assert.Equal((OrderKind.Start, 1, 1), (_orders[^1].Kind, _orders[^1].Generation, _orders[^1].Restarts));
        Fail(1, exitCode: 5);
        Assert.Equal((OrderKind.End, 5), (_orders[^1].Kind, _orders[^1].ExitCode));
        Assert.Contains("used up", _orders[^1].Text, StringComparison.Ordinal);
        Assert.True(_coordinator.IsOver);
    }

    [Fact]
    public void The_cause_may_be_reported_after_what_it_led_to()
    {
        Open(new MachineRange(2, 2));
        Start(2);
        Fail(1, exitCode: 134, isConsequence: true);
        Assert.Equal(OrderKind.Start, _orders[^1].Kind);
        Fail(2, exitCode: 7);
        Assert.Equal((OrderKind.End, 7), (_orders[^1].Kind, _orders[^1].ExitCode));
    }

    [Fact]
    public void A_cause_that_is_in_the_store_counts_before_what_it_led_to()
    {
        Open(new MachineRange(2, 2));
        Start(2);
        Fail(1, exitCode: 134, isConsequence: true);
        _knownCause = "rank 1 failed with this";
        _clock.Advance(_coordinator.Patience!.Value);
        _coordinator.Tick();
        Assert.Equal((OrderKind.End, 134, "rank 1 failed with this"), (_orders[^1].Kind, _orders[^1].ExitCode, _orders[^1].Text));
    }

    [Fact]
    public void A_consequence_without_a_cause_decides_after_a_while_or_when_nobody_is_left_to_tell_more()
    {
        Open(new MachineRange(2, 2), maxRestarts: 1);
        Start(2);
        Fail(1, exitCode: 134, isConsequence: true);
        _clock.Advance(_coordinator.Patience!.Value);
        _coordinator.Tick();
        Assert.Equal(OrderKind.Stop, _orders[^1].Kind);
        Ready(1, rank: 0);
        Ready(2, rank: 1);
        Fail(1, exitCode: 134, isConsequence: true);
        Fail(2, exitCode: 135, isConsequence: true);
        Assert.Equal((OrderKind.End, 134), (_orders[^1].Kind, _orders[^1].ExitCode));
    }

    [Fact]
    public void News_of_an_attempt_that_is_over_is_no_news()
    {
        Open(new MachineRange(2, 2), maxRestarts: 5);
        Start(2);
        Fail(2);
        Fail(1, isConsequence: true);
        Ready(1, rank: 0);
        Ready(2, rank: 1);
        _coordinator.Handle(Report(ReportKind.Failed, 1, generation: 0));
        _coordinator.Handle(Report(ReportKind.Succeeded, 1, generation: 0));
        Assert.Equal((OrderKind.Start, 1), (_orders[^1].Kind, _orders[^1].Generation));
        Assert.Equal(3, _orders.Count);
    }

    [Fact]
    public void The_job_is_over_when_every_machine_has_succeeded()
    {
        Open(new MachineRange(2, 2));
        Start(2);
        _coordinator.Handle(Report(ReportKind.Succeeded, 1, generation: 0));
        Assert.False(_coordinator.IsOver);
        _coordinator.Handle(Report(ReportKind.Succeeded, 2, generation: 0));
        Assert.Equal((OrderKind.End, 0), (_orders[^1].Kind, _orders[^1].ExitCode));
        // One that comes too late is told so.
        Ready(3, rank: 1);
        Assert.Equal((OrderKind.End, 3), (_orders[^1].Kind, _orders[^1].For));
    }

    [Fact]
    public void A_lost_machine_is_a_failure_and_its_return_starts_the_next_attempt()
    {
        Open(new MachineRange(2, 2), maxRestarts: 1);
        Start(2);
        _coordinator.Lose(2);
        Assert.Equal(OrderKind.Stop, _orders[^1].Kind);
        Assert.Contains("machine 1 (host2) is lost", _orders[^1].Text, StringComparison.Ordinal);
        Ready(1, rank: 0);
        // Its last words are read after the news of its death.
        Ready(2, rank: 1);
        Assert.Equal(OrderKind.Stop, _orders[^1].Kind);
        Ready(3, rank: 1);
        Assert.Equal((OrderKind.Start, 1), (_orders[^1].Kind, _orders[^1].Generation));
    }

    [Fact]
    public void The_others_are_waited_for_from_the_first_machine_on()
    {
        Open(new MachineRange(2, 2));
        Assert.Null(_coordinator.Patience);
        _clock.Advance(TimeSpan.FromSeconds(600));
        Ready(1, rank: 0);
        Assert.Equal(TimeSpan.FromSeconds(60), _coordinator.Patience);
        Assert.Empty(_orders);
    }

    [Fact]
    public void Who_is_missing_is_named_when_the_time_is_up()
    {
        Open(new MachineRange(3, 3), maxRestarts: 1);
        Start(3);
        _coordinator.Lose(3);
        Ready(1, rank: 0);
        Ready(2, rank: 1);
        _clock.Advance(TimeSpan.FromSeconds(60));
        _coordinator.Tick();
        Assert.Equal((OrderKind.End, 1), (_orders[^1].Kind, _orders[^1].ExitCode));
        Assert.StartsWith("waited 60 s for the machines of the job. Missing: machine 2. Here: machine 0 (host1), machine 1 (host2); last seen: machine 2 (host3)", _orders[^1].Text, StringComparison.Ordinal);
    }

    [Fact]
    public void An_open_number_of_machines_starts_with_the_fewest_after_the_last_call_and_grows()
    {
        Open(new MachineRange(2, 3), ranksAreFixed: false, maxRestarts: 1);
        Ready(5);
        Ready(4, isHost: true);
        Assert.Empty(_orders);
        _clock.Advance(_coordinator.Patience!.Value);
        _coordinator.Tick();
        Assert.Equal([4, 5], _orders[^1].Places.Select(place => place.Member));
        Ready(6);
        Assert.Equal((OrderKind.Stop, 0, "host6 joins"), (_orders[^1].Kind, _orders[^1].Restarts, _orders[^1].Text));
        Ready(5);
        Ready(4, isHost: true);
        // There is room for no more: no last call.
        Assert.Equal((OrderKind.Start, 1, 0), (_orders[^1].Kind, _orders[^1].Generation, _orders[^1].Restarts));
        Assert.Equal([4, 5, 6], _orders[^1].Places.Select(place => place.Member));
        Ready(7);
        Assert.Equal((OrderKind.Say, 7), (_orders[^1].Kind, _orders[^1].For));
    }

    [Fact]
    public void An_open_number_of_machines_goes_on_without_one_that_leaves_but_not_below_the_fewest()
    {
        Open(new MachineRange(2, 3), ranksAreFixed: false, lastCall: 0);
        Ready(1, isHost: true);
        Ready(2);
        Ready(3);
        Ready(1, isHost: true);
        Ready(2);
        Assert.Equal(3, _orders[^1].Places.Count);
        _coordinator.Handle(Report(ReportKind.Interrupted, 3, generation: 1) with { Code = 15 });
        Fail(1, generation: 1, isConsequence: true);
        Assert.Equal(OrderKind.Stop, _orders[^1].Kind);
        Assert.Contains("SIGTERM", _orders[^1].Text, StringComparison.Ordinal);
        _coordinator.Handle(Report(ReportKind.Leaving, 3, generation: 1) with { Code = 15 });
        Ready(1, isHost: true);
        Ready(2);
        Assert.Equal((OrderKind.Start, 0, 2), (_orders[^1].Kind, _orders[^1].Restarts, _orders[^1].Places.Count));
        _coordinator.Handle(Report(ReportKind.Leaving, 2, generation: 2) with { Code = 15 });
        Ready(1, isHost: true);
        _clock.Advance(TimeSpan.FromSeconds(60));
        _coordinator.Tick();
        Assert.Equal((OrderKind.End, 1), (_orders[^1].Kind, _orders[^1].ExitCode));
        Assert.Contains("Missing: 1 more of at least 2. Here: machine 0 (host1); last seen: machine 1 (host2), which left", _orders[^1].Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_signal_ends_a_fixed_job_and_one_to_the_host_ends_every_job(bool isElastic)
    {
        Open(new MachineRange(2, isElastic ? 3 : 2), ranksAreFixed: !isElastic, maxRestarts: 9, lastCall: 0);
        Ready(1, rank: 0, isHost: true);
        Ready(2, rank: 1);
        _coordinator.Handle(Report(ReportKind.Interrupted, 1, generation: 0) with { Code = 2 });
        // A program may save its state on Ctrl-C, together with the others: nothing is stopped yet.
        Assert.Equal(OrderKind.Start, _orders[^1].Kind);
        Fail(2, isConsequence: true);
        _clock.Advance(TimeSpan.FromSeconds(10));
        _coordinator.Tick();
        Assert.Equal((OrderKind.End, 130), (_orders[^1].Kind, _orders[^1].ExitCode));
    }

    [Fact]
    public void A_new_coordinator_goes_on_from_what_the_launchers_remember()
    {
        Open(new MachineRange(1, 2), ranksAreFixed: false, maxRestarts: 2, lastCall: 0);
        Ready(1, isHost: true);
        Assert.Equal(0, _orders[^1].Generation);
        _coordinator.Handle(Report(ReportKind.Ready, 2, generation: 4) with { Restarts = 2 });
        Ready(1, isHost: true);
        Assert.Equal((OrderKind.Start, 5, 2), (_orders[^1].Kind, _orders[^1].Generation, _orders[^1].Restarts));
        Fail(2, generation: 5);
        Assert.Equal(OrderKind.End, _orders[^1].Kind);
    }

    [Fact]
    public void A_second_machine_of_one_rank_and_one_of_another_job_are_told()
    {
        Open(new MachineRange(2, 2));
        Ready(1, rank: 0);
        Ready(2, rank: 0);
        Ready(1, rank: 0);
        var said = Assert.Single(_orders);
        Assert.Equal((OrderKind.Say, 2), (said.Kind, said.For));
        Assert.Contains("machine 0 as well", said.Text, StringComparison.Ordinal);
        _coordinator.Handle(Report(ReportKind.Ready, 3) with { RunId = "another" });
        Assert.Equal((OrderKind.End, 3, 1), (_orders[^1].Kind, _orders[^1].For, _orders[^1].ExitCode));
        Assert.False(_coordinator.IsOver);
        // The rank is free again.
        _coordinator.Lose(1);
        Ready(4, rank: 1);
        Assert.Equal([2, 4], _orders[^1].Places.Select(place => place.Member));
    }

    private void Open(MachineRange machines, bool ranksAreFixed = true, int maxRestarts = 0, double lastCall = 30)
    {
        _coordinator = new Coordinator(
            new CoordinatorOptions(machines, ranksAreFixed, maxRestarts, TimeSpan.FromSeconds(60), TimeSpan.FromSeconds(lastCall), "job"), _orders.Add, _clock, _ => _knownCause);
        _coordinator.Open();
    }

    private void Start(int machines)
    {
        for (var rank = 0; rank < machines; rank++) Ready(rank + 1, rank);
        Assert.Equal(OrderKind.Start, _orders[^1].Kind);
    }

    private void Ready(int member, int? rank = null, int workers = 1, string role = "default", bool isHost = false) =>
        _coordinator.Handle(Report(ReportKind.Ready, member) with { MachineRank = rank, LocalWorldSize = workers, Role = role, IsHost = isHost });

    private void Fail(int member, int exitCode = 1, bool isConsequence = false, int? generation = null) => _coordinator.Handle(
        Report(ReportKind.Failed, member, generation ?? _coordinator.Generation) with { Code = exitCode, IsConsequence = isConsequence, Text = "rank 5 failed" });

    private static Report Report(ReportKind kind, int member, int generation = -1) =>
        new() { Kind = kind, Member = member, Generation = generation, Host = $"host{member}", Role = "default", LocalWorldSize = 1 };
}

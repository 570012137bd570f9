using System.Collections.Concurrent;
using System.Globalization;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch.Machines;

/// <summary>A job on several machines, as the launcher of one of them takes part in it.</summary>
/// <param name="plan">What is started here.</param>
/// <param name="settings">How.</param>
/// <param name="givenRank">The rank that the user gave this machine; null where it has none.</param>
/// <param name="service">The coordinator, where this launcher hosts it.</param>
/// <param name="screen">Where everything is printed.</param>
/// <param name="events">What happens.</param>
/// <param name="signals">The signals to the launcher.</param>
internal sealed class MachineFormation(
    LaunchPlan plan, ExecutionSettings settings, int? givenRank, CoordinatorService? service, Screen screen, BlockingCollection<LaunchEvent> events,
    SignalSource signals) : IFormation, IJobNews
{
    private static readonly TimeSpan _othersPatience = TimeSpan.FromSeconds(10);

    /// <summary>The rendezvous that this launcher hosts is there; only a busy machine keeps it from answering at once.</summary>
    private static readonly TimeSpan _ownPatience = TimeSpan.FromSeconds(60);

    private readonly string _host = Environment.MachineName;
    private MachineConnection? _connection;
    private Order? _order;
    private int _generation = -1;
    private int _restarts;
    private bool _isOver;
    private string? _lastWord;

    public int ExitCode { get; private set; }

    public IJobNews News => this;

    public string StoreEndpoint { get; } = Endpoints.Of(plan.MasterAddress, plan.MasterPort);

    public Round? Next()
    {
        while (!_isOver && Connect())
        {
            _connection!.Post(Report(ReportKind.Ready));
            while (Await() is { } order)
            {
                if (order.Kind == OrderKind.End) return Over(order.ExitCode);
                if (order.Kind == OrderKind.Start && _connection.IndexIn(order.Places) is { } rank) return RoundOf(order, rank);
            }
        }
        return null;
    }

    public int? ExitCodeAfter(Round round, JobEnd end)
    {
        if (_lastWord is not null) screen.Say(_lastWord);
        _lastWord = null;
        if (end.Signal != 0)
        {
            Leave(end.Signal);
            return end.ExitCode;
        }
        if (!end.WasOrdered)
        {
            if (end.ExitCode == 0) _connection!.Post(Report(ReportKind.Succeeded));
            do _order = Await();
            while (_order is { } order && !EndsAttempt(order));
            if (_isOver) return ExitCode;
        }
        return _order switch
        {
            { Kind: OrderKind.End } over => over.ExitCode,
            null => CoordinatorLost(),
            _ => null,
        };
    }

    public FailureReport? FailureOf(int generation, int rank) => _connection?.FailureOf(generation, rank);

    public void Failed(Failure failure) =>
        _connection?.Post(Report(ReportKind.Failed) with { Code = failure.Status.Code, IsConsequence = failure.IsConsequence, Text = failure.ToString() });

    public void Interrupted(int signal) => _connection?.Post(Report(ReportKind.Interrupted) with { Code = signal });

    public bool EndsAttempt(LaunchEvent.Told told)
    {
        if (told.Connection != _connection) return false;
        if (told.Order is null)
        {
            Disconnect();
            return true;
        }
        if (!Hear(told.Order, duringAttempt: true) || !EndsAttempt(told.Order)) return false;
        _order = told.Order;
        return true;
    }

    public void Dispose()
    {
        _connection?.Dispose();
        service?.WaitForOthers(plan.GracePeriod + _othersPatience);
        service?.Dispose();
    }

    /// <summary>The next order for this machine; null where the connection is lost or somebody wants the launcher to end.</summary>
    private Order? Await()
    {
        while (true)
        {
            switch (events.Take(CancellationToken.None))
            {
                case LaunchEvent.Told { Order: null } told when told.Connection == _connection:
                    Disconnect();
                    return null;
                case LaunchEvent.Told { Order: { } order } told when told.Connection == _connection && Hear(order):
                    return order;
                case LaunchEvent.Signalled signalled:
                    Leave(signalled.Signal);
                    return null;
                case LaunchEvent.OutputClosed:
                    Leave(Posix.SigPipe);
                    return null;
            }
        }
    }

    private bool EndsAttempt(Order order) => order.Kind == OrderKind.End || (order.Kind == OrderKind.Stop && order.Generation == _generation);

    /// <summary>Tells the user what an order says.</summary>
    /// <returns>Whether it is one for this launcher to follow.</returns>
    private bool Hear(Order order, bool duringAttempt = false)
    {
        if (!_connection!.Concerns(order)) return false;
        if (order.Text.Length > 0 && (order.Kind == OrderKind.Say || EndsAttempt(order)))
        {
            var text = $"accelerate: {order.Text}.";
            // A single worker prints past us, perhaps the very trace of its error: what ends it is said after its last line, not within.
            if (duringAttempt && EndsAttempt(order) && plan.LocalWorldSize == 1) _lastWord = text;
            else screen.Say(text);
        }
        return order.Kind != OrderKind.Say;
    }

    private Round? Over(int exitCode)
    {
        (_isOver, ExitCode) = (true, exitCode);
        return null;
    }

    private void Leave(int signal)
    {
        _connection?.Post(Report(ReportKind.Leaving) with { Code = signal });
        Over(128 + signal);
    }

    private int? CoordinatorLost()
    {
        var (lost, limit) = ($"accelerate: the rendezvous at {StoreEndpoint} is lost: the launcher that hosts it was killed, or its machine cannot be reached", settings.MaxRestarts.Value);
        if (_restarts == limit)
        {
            screen.Say(limit == 0 ? lost + "." : string.Create(CultureInfo.InvariantCulture, $"{lost}; the {limit} restart(s) of --max_restarts are used up."));
            return 1;
        }
        _restarts++;
        screen.Say(string.Create(CultureInfo.InvariantCulture, $"{lost}; waiting for it to come back, restart {_restarts} of {limit}."));
        return null;
    }

    private bool Connect()
    {
        if (_connection is not null) return true;
        try
        {
            _connection = MachineConnection.Open(StoreEndpoint, plan.Token, service is null ? settings.Conf.JoinTimeout : _ownPatience, events.Add, signals.First);
            return true;
        }
        catch (OperationCanceledException)
        {
            Over(128 + signals.Signal);
            return false;
        }
        catch (Exception e) when (e is RendezvousException or TimeoutException)
        {
            throw new UserErrorException(e.Message);
        }
    }

    private void Disconnect()
    {
        _connection!.Dispose();
        _connection = null;
    }

    private Report Report(ReportKind kind) => new()
    {
        Kind = kind,
        Member = 0,
        Generation = _generation,
        Restarts = _restarts,
        Host = _host,
        MachineRank = givenRank,
        IsHost = service is not null,
        LocalWorldSize = plan.LocalWorldSize,
        Role = settings.Role,
        RunId = settings.RunId,
    };

    private Round RoundOf(Order order, int rank)
    {
        (_generation, _restarts, _order) = (order.Generation, order.Restarts, null);
        var (place, last) = (order.Places[rank], order.Places[^1]);
        var round = new Round
        {
            Generation = order.Generation,
            RestartCount = order.Restarts,
            WorldSize = last.FirstRank + last.LocalWorldSize,
            MachineCount = order.Places.Count,
            MachineRank = rank,
            FirstRank = place.FirstRank,
            LocalWorldSize = place.LocalWorldSize,
            RoleFirstRank = place.RoleFirstRank,
            RoleWorldSize = place.RoleWorldSize,
            RunId = order.RunId,
        };
        screen.Note(string.Create(CultureInfo.InvariantCulture,
            $"accelerate: attempt {round.Generation} with {round.WorldSize} process(es) on {string.Join(", ", order.Places.Select(machine => machine.Host))}; "
            + $"this is machine {rank}, rank(s) {round.FirstRank} to {round.FirstRank + round.LocalWorldSize - 1}."));
        return round;
    }
}

using System.Collections.Concurrent;
using System.Globalization;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Cli.Launch.Machines;

/// <summary>The store of a job on several machines, with the coordinator behind it: what the launcher of the first machine hosts.</summary>
internal sealed class CoordinatorService : IDisposable
{
    private readonly RendezvousServer _server;
    private readonly IRendezvousStore _store;
    private readonly BlockingCollection<Action<Coordinator>> _news = [];
    private readonly CancellationTokenSource _ends = new();
    private readonly Thread _reader, _decider;
    private int _orders;

    /// <summary>Begins to serve.</summary>
    /// <param name="options">Where.</param>
    /// <param name="job">What the job needs.</param>
    /// <exception cref="RendezvousException">The port is not free.</exception>
    public CoordinatorService(RendezvousServerOptions options, CoordinatorOptions job)
    {
        _server = RendezvousServer.Start(options with
        {
            RankLost = (generation, rank) =>
            {
                if (generation == Channel.Generation) _news.Add(coordinator => coordinator.Lose(rank));
            },
        });
        _store = _server.View(Channel.Generation);
        _reader = new Thread(Read, 256 * 1024) { IsBackground = true, Name = "reports of machines" };
        _decider = new Thread(() => Decide(job), 256 * 1024) { IsBackground = true, Name = "coordinator" };
        _reader.Start();
        _decider.Start();
    }

    /// <summary>The port that the store is served at.</summary>
    public int Port => _server.Port;

    /// <summary>Waits until the other launchers and their workers have gone.</summary>
    public void WaitForOthers(TimeSpan timeout) => _server.WaitForClients(timeout);

    public void Dispose()
    {
        _ends.Cancel();
        _reader.Join();
        _decider.Join();
        _server.Dispose();
    }

    private void Read()
    {
        try
        {
            for (var next = 0; ; next++)
            {
                var report = Channel.WaitForReport(_store, next, _ends.Token);
                _news.Add(coordinator => coordinator.Handle(report));
            }
        }
        catch (OperationCanceledException)
        {
            // The launcher ends.
        }
    }

    private string? CauseOf(int generation) => _server.CauseOf(generation) is not { } cause ? null
        : string.Create(CultureInfo.InvariantCulture, $"rank {cause.Rank} {(cause.Report is null ? "ended without a word" : $"failed with {cause.Report.Message}")}");

    private void Decide(CoordinatorOptions job)
    {
        var coordinator = new Coordinator(job, order => Channel.Post(_store, order, _orders++), TimeProvider.System, CauseOf);
        coordinator.Open();
        var forgotten = 0;
        try
        {
            while (true)
            {
                if (_news.TryTake(out var news, coordinator.Patience is { } patience ? (int)Math.Ceiling(patience.TotalMilliseconds) : Timeout.Infinite, _ends.Token)) news(coordinator);
                else coordinator.Tick();
                // A new attempt starts when nobody of the one before is left.
                for (; forgotten < coordinator.Generation; forgotten++) _server.Forget(forgotten);
            }
        }
        catch (OperationCanceledException)
        {
            // The launcher ends.
        }
    }
}

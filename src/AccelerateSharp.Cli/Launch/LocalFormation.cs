using System.Globalization;
using System.Net;
using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Cli.Launch;

/// <summary>A job on this machine alone: nobody else has to agree.</summary>
internal sealed class LocalFormation : IFormation
{
    private readonly LaunchPlan _plan;
    private readonly ExecutionSettings _settings;
    private readonly Screen _screen;
    private readonly string _runId;
    private readonly RendezvousServer? _server;
    private int _attempt;

    public LocalFormation(LaunchPlan plan, ExecutionSettings settings, string runId, Screen screen)
    {
        (_plan, _settings, _runId, _screen) = (plan, settings, runId, screen);
        if (!plan.NeedsStore) return;
        // On one machine MASTER_PORT stays free for programs that open a store of their own there.
        _server = RendezvousServer.Start(new RendezvousServerOptions
        {
            Token = plan.Token,
            WorldSize = plan.WorldSize,
            Address = IPAddress.Loopback,
            Log = line => screen.Say("accelerate: " + line),
        });
        StoreEndpoint = string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{_server.Port}");
    }

    public int ExitCode => 0;

    public IJobNews? News => null;

    public string? StoreEndpoint { get; }

    public Round? Next() => Round.Of(_plan, _runId, _attempt);

    public int? ExitCodeAfter(Round round, JobEnd end)
    {
        if (end.Cause is null || end.Signal != 0) return end.ExitCode;
        var limit = _settings.MaxRestarts.Value;
        if (_attempt == limit)
        {
            if (limit > 0) _screen.Say(string.Create(CultureInfo.InvariantCulture, $"accelerate: the {limit} restart(s) of {_settings.MaxRestarts} are used up."));
            return end.ExitCode;
        }
        _server?.Forget(_attempt);
        _attempt++;
        _screen.Say(string.Create(CultureInfo.InvariantCulture, $"accelerate: starting all workers again, restart {_attempt} of {limit}."));
        return null;
    }

    public FailureReport? FailureOf(int generation, int rank) => _server?.FailureOf(generation, rank);

    public void Dispose() => _server?.Dispose();
}

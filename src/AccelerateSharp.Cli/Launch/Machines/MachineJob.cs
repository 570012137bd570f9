using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Cli.Launch.Machines;

/// <summary>Joins this machine to a job on several: finds out who hosts the rendezvous, and hosts it where it is this launcher.</summary>
internal static class MachineJob
{
    /// <param name="plan">What is started here.</param>
    /// <param name="settings">How.</param>
    /// <param name="typedRank">The rank of <c>--machine_rank</c>; null where it was not passed.</param>
    /// <param name="runId">The name of the job, for the machine that hosts it.</param>
    /// <param name="screen">Where everything is printed.</param>
    /// <param name="events">What happens.</param>
    /// <param name="signals">The signals to the launcher.</param>
    public static MachineFormation Join(
        LaunchPlan plan, ExecutionSettings settings, int? typedRank, string runId, Screen screen, BlockingCollection<LaunchEvent> events, SignalSource signals)
    {
        var own = Endpoints.OfThisMachine(plan.MasterAddress);
        var givenRank = settings.RanksAreFixed ? plan.MachineRank : typedRank;
        // A rank that counts says who hosts, and so does the user; else it is the machine whose address everybody was given.
        var told = settings.RanksAreFixed ? plan.MachineRank == 0 : settings.Conf.IsHost ?? (typedRank is { } rank ? rank == 0 : null);
        CoordinatorService? service = null;
        if (told ?? own is not null)
        {
            try
            {
                service = Serve(plan, settings, runId, own, screen);
            }
            catch (RendezvousException e)
            {
                // Several launchers on one machine: one of them holds the port, and the others join it.
                if (told is not null) throw new UserErrorException(e.Message);
            }
        }
        return new MachineFormation(plan, settings, givenRank, service, screen, events, signals);
    }

    private static CoordinatorService Serve(LaunchPlan plan, ExecutionSettings settings, string runId, IPAddress? own, Screen screen)
    {
        var everywhere = Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any;
        if (settings.SameNetwork.Value && own is null)
            screen.Say($"accelerate: {plan.MasterAddress} (--main_process_ip) is no address of this machine, so the rendezvous listens at every address in spite of {settings.SameNetwork}.");
        return new CoordinatorService(
            new RendezvousServerOptions
            {
                Token = plan.Token,
                WorldSize = plan.WorldSize,
                Address = settings.SameNetwork.Value ? own ?? everywhere : everywhere,
                Port = plan.MasterPort,
                Log = line => screen.Say("accelerate: " + line),
            },
            new CoordinatorOptions(
                settings.Machines?.Value ?? new MachineRange(plan.MachineCount, plan.MachineCount), settings.RanksAreFixed, settings.MaxRestarts.Value,
                settings.Conf.JoinTimeout, settings.Conf.LastCallTimeout, runId));
    }
}

using System.Collections;
using System.Collections.Concurrent;
using System.Globalization;
using System.Runtime.Versioning;
using AccelerateSharp.Cli.Launch.Logs;
using AccelerateSharp.Configuration;
using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;
using Names = AccelerateSharp.Launch.EnvironmentVariables;

namespace AccelerateSharp.Cli.Launch.Mpi;

/// <summary>A job whose workers mpirun starts: they learn their ranks from MPI, and rank 0 hosts the store.</summary>
[UnsupportedOSPlatform("windows")]
internal sealed class MpiJob
{
    // A launcher above this one may have set them, and workers would believe them before MPI.
    private static readonly string[] _placeNames =
    [
        Names.Rank, Names.WorldSize, Names.LocalRank, Names.LocalWorldSize, Names.GroupRank, Names.GroupWorldSize, Names.NodeRank,
        Names.RendezvousEndpoint, Names.RendezvousGeneration, Names.RestartCount, Names.UseAgentStore,
    ];

    private readonly HostFile _hosts;
    private readonly int? _ccl;

    public MpiJob(ExecutionSettings settings)
    {
        _hosts = HostFile.Read(settings.MpiHostFile!.Value);
        _ccl = settings.MpiCcl;
    }

    /// <summary>What the host file says and the user did not.</summary>
    public LaunchOptions Complete(LaunchOptions options) => options with
    {
        MachineCount = options.MachineCount ?? options.Config?.Config.Values.Whole(ConfigKeys.NumMachines) ?? _hosts.Hosts.Count,
        MachineRank = 0,
        MainProcessAddress = options.MainProcessAddress ?? options.Config?.Config.MainProcessIp ?? _hosts.Hosts[0],
    };

    /// <summary>One launcher starts all: it can make the token itself.</summary>
    public static EnvironmentReader WithToken()
    {
        var fresh = RendezvousStore.NewToken();
        return new EnvironmentReader(name => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : name == Names.RendezvousToken ? fresh : null);
    }

    /// <summary>What the workers get beside their places, by name.</summary>
    public SortedDictionary<string, string> VariablesOf(LaunchPlan plan)
    {
        var passed = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, value) in plan.Variables) passed[name] = value;
        passed[Names.MasterAddress] = plan.MachineCount == 1 ? "127.0.0.1" : plan.MasterAddress;
        passed[Names.MasterPort] = plan.MasterPort.ToString(CultureInfo.InvariantCulture);
        passed[Names.RendezvousToken] = plan.Token;
        if (_ccl is { } threads) passed["CCL_WORKER_COUNT"] = threads.ToString(CultureInfo.InvariantCulture);
        return passed;
    }

    public Target CommandOf(LaunchPlan plan, Target target) => MpiCommand.Find().Starting(_hosts, plan.LocalWorldSize, plan.WorldSize, VariablesOf(plan).Keys, target);

    /// <returns>The exit code of mpirun.</returns>
    public int Run(LaunchPlan plan, Target target, Screen screen, BlockingCollection<LaunchEvent> events, JobLogs? logs)
    {
        var command = CommandOf(plan, target);
        screen.Note($"Starting {string.Join(' ', [command.Program, .. command.Arguments])}");
        var variables = new Dictionary<string, string>();
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables()) variables[(string)variable.Key] = (string?)variable.Value ?? "";
        foreach (var name in _placeNames) variables.Remove(name);
        foreach (var (name, value) in VariablesOf(plan)) variables[name] = value;

        using var group = new JobGroup();
        var process = ChildProcess.Start(command.Program, command.Arguments, variables, group.Id, inheritsInput: true, capture: logs is not null);
        var worker = new Worker(WorkerName.OfProgram("mpirun"), process, screen, logs?.Open(attempt: 0, localRank: 0) ?? default, events.Add);
        return new Job(screen, events, group.Signal, _ => null, plan.GracePeriod, terminalSignals: false, news: null).Supervise([worker]).ExitCode;
    }
}

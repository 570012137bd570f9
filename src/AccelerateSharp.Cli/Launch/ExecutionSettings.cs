using System.Globalization;
using AccelerateSharp.Cli.Launch.Decisions;
using AccelerateSharp.Cli.Launch.Logs;
using AccelerateSharp.Configuration;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch;

/// <summary>How workers are run, restarted and logged: by an option, else by the configuration file, else by the environment, else by a default.</summary>
internal sealed class ExecutionSettings
{
    private const string Static = "static", C10d = "c10d";

    private ExecutionSettings(LaunchOptions options, EnvironmentReader environment)
    {
        var reader = new SettingReader(options.Config, environment);
        var (typed, config) = (options.Execution, reader.Config);
        MaxRestarts = SettingReader.Typed("--max_restarts", typed.MaxRestarts) ?? SettingReader.Default("--max_restarts", 0);
        if (MaxRestarts.Value < 0) throw new UserErrorException($"{MaxRestarts}: a number of restarts is 0 or more.");
        Machines = typed.Machines is { } machines ? new(MachineRange.Parse("--nnodes", machines), $"from --nnodes {machines}", $"--nnodes {machines}") : null;
        if (Machines is not null && options.MachineCount is { } count)
            throw new UserErrorException($"{Machines} and --num_machines {count} say the same thing twice. Pass one of them.");
        Backend = SettingReader.Typed("--rdzv_backend", typed.RendezvousBackend) ?? reader.Written(ConfigKeys.RdzvBackend, config?.Values.Text(ConfigKeys.RdzvBackend))
            ?? SettingReader.Default("--rdzv_backend", Machines is { Value.IsElastic: true } ? C10d : Static);
        if (Backend.Value is not (Static or C10d))
            throw new UserErrorException($"{Backend}: the rendezvous is served by the launcher of the first machine, with the ranks as {Static} or {C10d} has them. Pass one of the two.");
        if (Backend.Value == Static && Machines is { Value.IsElastic: true })
        {
            // `accelerate config` writes static into every file, so that only what was typed can contradict.
            if (typed.RendezvousBackend is not null) throw new UserErrorException($"{Backend} is for a fixed number of machines, but {Machines} leaves it open. Pass --rdzv_backend {C10d}.");
            Backend = new(C10d, Machines.Source, Machines.Said);
        }
        Conf = RendezvousConf.Parse("--rdzv_conf", typed.RendezvousConf ?? "");
        SameNetwork = SettingReader.Typed("--same_network", typed.SameNetwork) ?? reader.Written(ConfigKeys.SameNetwork, config?.Values.Switch(ConfigKeys.SameNetwork))
            ?? SettingReader.Default("--same_network", value: false);
        RunId = typed.RunId;
        LogFolder = typed.LogFolder;
        Tee = typed.Tee is { } tee ? TeeStreams.Parse("--tee", tee) : new TeeStreams(LogFolder is null ? Streams.None : Streams.Both);
        Role = typed.Role ?? WorkerName.DefaultRole;
        foreach (var (option, name) in (ReadOnlySpan<(string, string?)>)[("--role", Role), ("--rdzv_id", RunId)])
        {
            if (name is not null && (name.Length is 0 or > 64 || !name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.')))
                throw new UserErrorException($"{option} {name}: pass 1 to 64 letters, digits, '-', '_' or '.'.");
        }
        CpuAffinity = SettingReader.Typed("--enable_cpu_affinity", typed.CpuAffinity)
            ?? reader.Written(ConfigKeys.EnableCpuAffinity, config?.Values.Switch(ConfigKeys.EnableCpuAffinity))
            ?? reader.Flag(EnvironmentVariables.CpuAffinity) ?? SettingReader.Default("--enable_cpu_affinity", value: false);
        MpiHostFile = SettingReader.Typed("--mpirun_hostfile", typed.MpiHostFile) ?? reader.Written($"{ConfigKeys.Mpirun}.mpirun_hostfile", config?.Mpirun.Text("mpirun_hostfile"));
        MpiCcl = typed.MpiCcl;
        if (MpiCcl is not null && MpiHostFile is null) throw new UserErrorException($"--mpirun_ccl {MpiCcl} goes with --mpirun_hostfile.");
        if (MpiHostFile is not null && Machines is { Value.IsElastic: true })
            throw new UserErrorException($"{Machines} and {MpiHostFile} contradict each other: mpirun starts a fixed number of machines.");
        Decisions = [.. DecisionsOf(typed)];
        Notes = [.. NotesOf(typed)];
    }

    public Setting<int> MaxRestarts { get; }

    /// <summary>The machines, where <c>--nnodes</c> says it.</summary>
    public Setting<MachineRange>? Machines { get; }

    public Setting<string> Backend { get; }

    /// <summary>Whether every machine has the rank that it was given, rather than the one by its arrival.</summary>
    public bool RanksAreFixed => Backend.Value == Static;

    public RendezvousConf Conf { get; }

    public Setting<bool> SameNetwork { get; }

    /// <summary>The name of the job; null for a random one.</summary>
    public string? RunId { get; }

    public string? LogFolder { get; }

    public TeeStreams Tee { get; }

    public string Role { get; }

    public Setting<bool> CpuAffinity { get; }

    /// <summary>The machines for mpirun; null where this launcher starts the workers.</summary>
    public Setting<string>? MpiHostFile { get; }

    /// <summary>The worker threads of oneCCL.</summary>
    public int? MpiCcl { get; }

    /// <summary>Every decision.</summary>
    public IReadOnlyList<Decision> Decisions { get; }

    /// <summary>Lines for the user: what is in force, and what was asked for and does nothing.</summary>
    public IReadOnlyList<string> Notes { get; }

    public static ExecutionSettings Resolve(LaunchOptions options, EnvironmentReader environment) => new(options, environment);

    private IEnumerable<string> NotesOf(ExecutionOptions typed)
    {
        if (MaxRestarts.Value > 0 && MpiHostFile is null) yield return Text($"All workers are started again after a failure, up to {MaxRestarts.Value} time(s) ({MaxRestarts.Source}).");
        if (typed.MonitorInterval is { } interval) yield return Text($"--monitor_interval {interval} has no effect: the launcher is told of the end of a worker, it does not ask.");
        if (Conf.WithoutEffect.Count > 0) yield return $"--rdzv_conf: {string.Join(", ", Conf.WithoutEffect)} set(s) nothing in this rendezvous.";
        if (MpiHostFile is null) yield break;
        if (MaxRestarts.Value > 0) yield return $"{MaxRestarts} has no effect with {MpiHostFile}: mpirun starts the workers.";
        if (CpuAffinity.Value) yield return $"{CpuAffinity} has no effect with {MpiHostFile}: mpirun binds the workers.";
    }

    private IEnumerable<Decision> DecisionsOf(ExecutionOptions typed)
    {
        const string Unsaid = "the default";
        if (Machines is not null) yield return Machines.As("nnodes");
        yield return Backend.As("rdzv_backend");
        yield return new("rdzv_conf", typed.RendezvousConf is { Length: > 0 } conf ? conf : Text($"join_timeout={Conf.JoinTimeout.TotalSeconds},last_call_timeout={Conf.LastCallTimeout.TotalSeconds}"), typed.RendezvousConf is { Length: > 0 } ? "from --rdzv_conf" : Unsaid);
        yield return new("rdzv_id", RunId ?? "(random)", RunId is null ? Unsaid : "from --rdzv_id");
        yield return SameNetwork.As("same_network");
        yield return MaxRestarts.As("max_restarts");
        yield return new("log_dir", LogFolder ?? "(none)", LogFolder is null ? Unsaid : "from --log_dir");
        yield return new("tee", typed.Tee ?? (LogFolder is null ? "0" : "3"), typed.Tee is not null ? "from --tee" : LogFolder is null ? Unsaid : "from --log_dir");
        yield return new("role", Role, typed.Role is null ? Unsaid : "from --role");
        yield return CpuAffinity.As("enable_cpu_affinity");
        yield return MpiHostFile?.As("mpirun_hostfile") ?? new("mpirun_hostfile", "(none)", Unsaid);
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

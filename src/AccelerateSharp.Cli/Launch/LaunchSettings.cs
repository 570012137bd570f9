using AccelerateSharp.Cli.Launch.Clusters;
using AccelerateSharp.Cli.Launch.Sections;
using AccelerateSharp.Configuration;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch;

/// <summary>What was asked for: by an option, else by the configuration file, else by the environment.</summary>
internal sealed class LaunchSettings
{
    private LaunchSettings(LaunchOptions options, EnvironmentReader environment)
    {
        var reader = new SettingReader(options.Config, environment);
        var config = reader.Config;
        var cluster = new ClusterSettings(reader, KubernetesPod.Detect(environment));
        ProcessCount = SettingReader.Typed("--num_processes", options.ProcessCount)
            // A file that says nothing about it says -1 in the reference's words.
            ?? (config is { NumProcesses: > 0 } ? reader.InFile(config.Values[ConfigKeys.NumProcesses] is null ? ConfigKeys.DistributedType : ConfigKeys.NumProcesses, config.NumProcesses) : null);
        ProcessesPerMachine = ProcessCount is null ? cluster.ProcessesPerMachine : null;
        MachineCount = SettingReader.Typed("--num_machines", options.MachineCount)
            ?? reader.Written(ConfigKeys.NumMachines, config?.Values.Whole(ConfigKeys.NumMachines)) ?? cluster.MachineCount ?? SettingReader.Default("--num_machines", 1);
        // The machine's own variables are asked where there are several machines: a cluster may set them on one too.
        var several = MachineCount.Value > 1;
        MachineRank = SettingReader.Typed("--machine_rank", options.MachineRank) ?? reader.Written(ConfigKeys.MachineRank, config?.Values.Whole(ConfigKeys.MachineRank))
            ?? (several ? cluster.MachineRank : null) ?? SettingReader.Default("--machine_rank", 0);
        MainProcessAddress = SettingReader.Typed("--main_process_ip", options.MainProcessAddress) ?? reader.Written(ConfigKeys.MainProcessIp, config?.MainProcessIp)
            ?? (several ? cluster.Address : null);
        MainProcessPort = SettingReader.Typed("--main_process_port", options.MainProcessPort) ?? reader.Written(ConfigKeys.MainProcessPort, config?.MainProcessPort)
            ?? (several ? cluster.Port : null) ?? SettingReader.Default("--main_process_port", WorkerEnvironment.DefaultMasterPort);
        MixedPrecision = SettingReader.Typed("--mixed_precision", options.MixedPrecision) ?? reader.Written(ConfigKeys.MixedPrecision, config?.MixedPrecision)
            ?? (reader.Word(EnvironmentVariables.MixedPrecision) is { } precision ? precision with { Value = precision.Value.ToLowerInvariant() } : null)
            ?? SettingReader.Default("--mixed_precision", "no");
        MultiGpu = options.Paradigm.MultiGpu;
        if (MultiGpu && options.Cpu) throw new UserErrorException($"{Paradigms.MultiGpuOption} and --cpu exclude each other. Pass one of them.");
        Cpu = SettingReader.Typed("--cpu", options.Cpu)
            ?? (MultiGpu ? new Setting<bool>(false, $"from {Paradigms.MultiGpuOption}", Paradigms.MultiGpuOption) : null)
            ?? (config?.DistributedType == DistributedTypes.MultiCpu ? reader.InFile(ConfigKeys.DistributedType, value: true) : reader.Written(ConfigKeys.UseCpu, config?.Values.Switch(ConfigKeys.UseCpu)))
            ?? reader.Flag(EnvironmentVariables.UseCpu) ?? SettingReader.Default("--cpu", value: false);
        Debug = SettingReader.Typed("--debug", options.Debug)
            ?? reader.Written(ConfigKeys.Debug, config?.Values.Switch(ConfigKeys.Debug)) ?? reader.Flag(EnvironmentVariables.DebugMode);
        GpuIds = SettingReader.Typed("--gpu_ids", options.GpuIds) is { } typed ? typed.Value == "all" ? null : Checked(typed) : reader.Written(ConfigKeys.GpuIds, config?.GpuIds);
        Sections = SectionSettings.Resolve(options.Paradigm, reader, MixedPrecision);
        Notes = [.. cluster.Notes(MachineCount), .. Sections.Notes];
    }

    /// <summary>The processes of all machines; null where nobody said.</summary>
    public Setting<int>? ProcessCount { get; }

    /// <summary>The processes of each machine, where a cluster says that instead.</summary>
    public Setting<int>? ProcessesPerMachine { get; }

    public Setting<int> MachineCount { get; }

    public Setting<int> MachineRank { get; }

    public Setting<string>? MainProcessAddress { get; }

    public Setting<int> MainProcessPort { get; }

    public Setting<string> MixedPrecision { get; }

    public Setting<bool> Cpu { get; }

    /// <summary>Whether several GPUs are insisted on.</summary>
    public bool MultiGpu { get; }

    /// <summary>Whether collectives are checked; null where nobody said.</summary>
    public Setting<bool>? Debug { get; }

    /// <summary>The GPUs to use, separated by commas; null for all.</summary>
    public Setting<string>? GpuIds { get; }

    /// <summary>How the processes share the training.</summary>
    public SectionSettings Sections { get; }

    /// <summary>Lines for the user: what was asked for and does nothing, what a cluster says and is not done.</summary>
    public IReadOnlyList<string> Notes { get; }

    public static LaunchSettings Resolve(LaunchOptions options, EnvironmentReader environment) => new(options, environment);

    private static Setting<string> Checked(Setting<string> ids)
    {
        var list = ids.Value.Split(',', StringSplitOptions.TrimEntries);
        if (list.Any(id => id.Length == 0 || id.Contains(' ', StringComparison.Ordinal))) throw new UserErrorException($"{ids}: pass numbers of GPUs separated by commas, such as 0,1, or all.");
        return list.Distinct().Count() == list.Length ? ids with { Value = string.Join(',', list) } : throw new UserErrorException($"{ids} names a GPU twice.");
    }
}

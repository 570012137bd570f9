using System.Globalization;
using AccelerateSharp.Configuration;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch;

/// <summary>What was asked for: by an option, else by the configuration file, else by the environment.</summary>
internal sealed class LaunchSettings
{
    private readonly ConfigFile? _file;
    private readonly EnvironmentReader _environment;

    private LaunchSettings(LaunchOptions options, EnvironmentReader environment)
    {
        (_file, _environment) = (options.Config, environment);
        var config = _file?.Config;
        ProcessCount = Typed("--num_processes", options.ProcessCount)
            // A file that says nothing about it says -1 in the reference's words.
            ?? (config is { NumProcesses: > 0 } ? InFile(config.Values[ConfigKeys.NumProcesses] is null ? ConfigKeys.DistributedType : ConfigKeys.NumProcesses, config.NumProcesses) : null);
        MachineCount = Typed("--num_machines", options.MachineCount)
            ?? Written(ConfigKeys.NumMachines, config?.Values.Whole(ConfigKeys.NumMachines)) ?? Default("--num_machines", 1);
        // The machine's own variable is asked where there are several machines: a cluster may set it on one too.
        MachineRank = Typed("--machine_rank", options.MachineRank) ?? Written(ConfigKeys.MachineRank, config?.Values.Whole(ConfigKeys.MachineRank))
            ?? (MachineCount.Value > 1 ? Variable(EnvironmentVariables.NodeRank) : null) ?? Default("--machine_rank", 0);
        MainProcessAddress = Typed("--main_process_ip", options.MainProcessAddress) ?? Written(ConfigKeys.MainProcessIp, config?.MainProcessIp)
            ?? (MachineCount.Value > 1 && environment.Text(EnvironmentVariables.MasterAddress) is { } address ? InEnvironment(EnvironmentVariables.MasterAddress, address) : null);
        MainProcessPort = Typed("--main_process_port", options.MainProcessPort) ?? Written(ConfigKeys.MainProcessPort, config?.MainProcessPort)
            ?? (MachineCount.Value > 1 ? Variable(EnvironmentVariables.MasterPort) : null) ?? Default("--main_process_port", WorkerEnvironment.DefaultMasterPort);
        MixedPrecision = Typed("--mixed_precision", options.MixedPrecision) ?? Written(ConfigKeys.MixedPrecision, config?.MixedPrecision)
            ?? (environment.Text(EnvironmentVariables.MixedPrecision) is { } precision ? InEnvironment(EnvironmentVariables.MixedPrecision, precision.ToLowerInvariant()) : null)
            ?? Default("--mixed_precision", "no");
        Cpu = (options.Cpu ? new Setting<bool>(true, "from --cpu", "--cpu") : null)
            ?? (config?.DistributedType == DistributedTypes.MultiCpu ? InFile(ConfigKeys.DistributedType, value: true) : Written(ConfigKeys.UseCpu, config?.Values.Switch(ConfigKeys.UseCpu)))
            ?? Flag(EnvironmentVariables.UseCpu) ?? Default("--cpu", value: false);
        Debug = (options.Debug ? new Setting<bool>(true, "from --debug", "--debug") : null)
            ?? Written(ConfigKeys.Debug, config?.Values.Switch(ConfigKeys.Debug)) ?? Flag(EnvironmentVariables.DebugMode);
        GpuIds = config?.GpuIds is { } ids ? InFile(ConfigKeys.GpuIds, ids) : null;
        Unused = config is null ? null : UnusedOf(config);
    }

    /// <summary>The processes of all machines; null where nobody said.</summary>
    public Setting<int>? ProcessCount { get; }

    public Setting<int> MachineCount { get; }

    public Setting<int> MachineRank { get; }

    public Setting<string>? MainProcessAddress { get; }

    public Setting<int> MainProcessPort { get; }

    public Setting<string> MixedPrecision { get; }

    public Setting<bool> Cpu { get; }

    /// <summary>Whether collectives are checked; null where nobody said.</summary>
    public Setting<bool>? Debug { get; }

    /// <summary>The GPUs to use, separated by commas; null for all.</summary>
    public Setting<string>? GpuIds { get; }

    /// <summary>What the file asks for and is not done, in a line.</summary>
    public string? Unused { get; }

    public static LaunchSettings Resolve(LaunchOptions options, EnvironmentReader environment) => new(options, environment);

    private string? UnusedOf(ClusterConfig config)
    {
        var unused = new List<string>();
        if (config.DistributedType is DistributedTypes.Fsdp or DistributedTypes.DeepSpeed)
            unused.Add($"{At(ConfigKeys.DistributedType)} {config.DistributedType} (every process holds the whole model, as with MULTI_GPU)");
        foreach (var section in (string[])[ConfigKeys.Fsdp, ConfigKeys.DeepSpeed, ConfigKeys.Fp8, ConfigKeys.Parallelism])
            if (config.Values[section] is ConfigSection { Count: > 0 }) unused.Add(At(section));
        return unused.Count == 0 ? null : $"Not used by this version, from {_file!.Path}: {string.Join(", ", unused)}.";

        string At(string key) => string.Create(CultureInfo.InvariantCulture, $"{key} (line {_file!.LineOf(key)})");
    }

    private static Setting<int>? Typed(string option, int? value) => value is { } typed ? new(typed, Text($"from {option} {typed}"), Text($"{option} {typed}")) : null;

    private static Setting<string>? Typed(string option, string? value) => value is null ? null : new(value, $"from {option}", $"{option} {value}");

    private Setting<T>? Written<T>(string key, T? value) where T : struct => value is { } written ? InFile(key, written) : null;

    private Setting<string>? Written(string key, string? value) => value is null ? null : InFile(key, value);

    private Setting<T> InFile<T>(string key, T value)
    {
        var place = Text($"{_file!.Path}:{_file.LineOf(key)}");
        return new(value, $"from {place}", Text($"{key} {value} ({place})"));
    }

    private Setting<int>? Variable(string name) => _environment.FirstNumber(name) is { } found ? InEnvironment(name, found.Value) : null;

    private Setting<bool>? Flag(string name) => _environment.Text(name) is { } text ? InEnvironment(name, EnvironmentReader.ParseFlag(name, text)) : null;

    private static Setting<T> InEnvironment<T>(string name, T value) => new(value, $"from {name}", Text($"{name}={value}"));

    private static Setting<T> Default<T>(string option, T value) => new(value, "the default", Text($"{option} {value}")) { IsDefault = true };

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

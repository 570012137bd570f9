namespace AccelerateSharp.Configuration;

/// <summary>The configuration of a job on machines of one's own: typed views on the values of a file.</summary>
/// <param name="values">The values; sections hold their keys with the prefix that the reference writes.</param>
internal sealed class ClusterConfig(ConfigSection values)
{
    /// <summary>All values, also those that have no property here.</summary>
    public ConfigSection Values { get; } = values;

    public string DistributedType => Values.Text(ConfigKeys.DistributedType) ?? DistributedTypes.None;

    /// <summary>The precision; null where the file says nothing.</summary>
    public string? MixedPrecision => Values.Text(ConfigKeys.MixedPrecision);

    public bool UseCpu => Values.Switch(ConfigKeys.UseCpu) ?? false;

    public bool Debug => Values.Switch(ConfigKeys.Debug) ?? false;

    public bool EnableCpuAffinity => Values.Switch(ConfigKeys.EnableCpuAffinity) ?? false;

    /// <summary>The processes of all machines; -1 where the file says nothing and more than one is to be expected.</summary>
    public int NumProcesses => Values.Whole(ConfigKeys.NumProcesses) ?? (DistributedType == DistributedTypes.None ? 1 : -1);

    public int NumMachines => Values.Whole(ConfigKeys.NumMachines) ?? 1;

    public int MachineRank => Values.Whole(ConfigKeys.MachineRank) ?? 0;

    /// <summary>The GPUs to use on this machine, as numbers separated by commas; null for all.</summary>
    public string? GpuIds => Values.Text(ConfigKeys.GpuIds) is { } ids && ids != "all" ? ids : null;

    public string? MainProcessIp => Values.Text(ConfigKeys.MainProcessIp);

    public int? MainProcessPort => Values.Whole(ConfigKeys.MainProcessPort);

    public string RdzvBackend => Values.Text(ConfigKeys.RdzvBackend) ?? "static";

    public bool SameNetwork => Values.Switch(ConfigKeys.SameNetwork) ?? false;

    public ConfigSection Fsdp => Section(ConfigKeys.Fsdp);

    public ConfigSection DeepSpeed => Section(ConfigKeys.DeepSpeed);

    public ConfigSection Fp8 => Section(ConfigKeys.Fp8);

    public ConfigSection Parallelism => Section(ConfigKeys.Parallelism);

    public ConfigSection MegatronLm => Section(ConfigKeys.MegatronLm);

    public ConfigSection Mpirun => Section(ConfigKeys.Mpirun);

    /// <summary>The same configuration with every key that the reference writes, at its default where it was absent.</summary>
    public ClusterConfig WithDefaults()
    {
        var all = new ConfigSection
        {
            [ConfigKeys.ComputeEnvironment] = ConfigKeys.LocalMachine,
            [ConfigKeys.Debug] = false,
            [ConfigKeys.DistributedType] = DistributedType,
            ["downcast_bf16"] = "no",
            [ConfigKeys.EnableCpuAffinity] = false,
            [ConfigKeys.MachineRank] = 0,
            [ConfigKeys.MainTrainingFunction] = "main",
            [ConfigKeys.NumMachines] = 1,
            [ConfigKeys.NumProcesses] = NumProcesses,
            [ConfigKeys.RdzvBackend] = "static",
            [ConfigKeys.SameNetwork] = false,
            ["tpu_env"] = new ConfigList([]),
            ["tpu_use_cluster"] = false,
            ["tpu_use_sudo"] = false,
            [ConfigKeys.UseCpu] = false,
        };
        foreach (var (key, value) in Values) all[key] = value;
        return new ClusterConfig(all);
    }

    private ConfigSection Section(string key) => Values[key] as ConfigSection ?? [];
}

using AccelerateSharp.Cli.Launch;
using AccelerateSharp.Configuration;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Tests.Launch;

public sealed class LaunchSettingsTests
{
    private const string Token = EnvironmentVariables.RendezvousToken;

    private static readonly Dictionary<string, string> _environment = new()
    {
        [EnvironmentVariables.MixedPrecision] = "FP16",
        [EnvironmentVariables.NodeRank] = "1",
        [EnvironmentVariables.MasterAddress] = "from-environment",
        [EnvironmentVariables.MasterPort] = "2222",
        [EnvironmentVariables.UseCpu] = "yes",
        [EnvironmentVariables.DebugMode] = "1",
        [Token] = "0123456789abcdef",
    };

    private static readonly ConfigFile _file = ConfigFile.Parse("job.yaml", """
        distributed_type: MULTI_CPU
        debug: false
        machine_rank: 2
        main_process_ip: from-file
        main_process_port: 1111
        mixed_precision: bf16
        num_machines: 3
        num_processes: 6
        """);

    [Fact]
    public void An_option_comes_before_the_file()
    {
        var settings = Resolve(new LaunchOptions
        {
            Target = "a",
            Config = _file,
            Cpu = true,
            Debug = true,
            ProcessCount = 4,
            MachineCount = 2,
            MachineRank = 0,
            MainProcessAddress = "typed",
            MainProcessPort = 3333,
            MixedPrecision = "no",
        });
        Assert.Equal((4, 2, 0, "typed", 3333), (settings.ProcessCount?.Value, settings.MachineCount.Value, settings.MachineRank.Value, settings.MainProcessAddress?.Value, settings.MainProcessPort.Value));
        Assert.Equal(("no", true, true), (settings.MixedPrecision.Value, settings.Cpu.Value, settings.Debug?.Value));
        Assert.Equal(("from --num_processes 4", "from --cpu", "from --debug"), (settings.ProcessCount?.Source, settings.Cpu.Source, settings.Debug?.Source));
    }

    [Fact]
    public void The_file_comes_before_the_environment()
    {
        var settings = Resolve(new LaunchOptions { Target = "a", Config = _file });
        Assert.Equal((6, 3, 2, "from-file", 1111), (settings.ProcessCount?.Value, settings.MachineCount.Value, settings.MachineRank.Value, settings.MainProcessAddress?.Value, settings.MainProcessPort.Value));
        Assert.Equal(("bf16", true, false), (settings.MixedPrecision.Value, settings.Cpu.Value, settings.Debug?.Value));
        Assert.Equal(("from job.yaml:8", "from job.yaml:1", "from job.yaml:6"), (settings.ProcessCount?.Source, settings.Cpu.Source, settings.MixedPrecision.Source));
    }

    [Fact]
    public void The_environment_comes_before_the_default()
    {
        var settings = Resolve(new LaunchOptions { Target = "a", MachineCount = 2 });
        Assert.Equal((null, 2, 1, "from-environment", 2222), (settings.ProcessCount?.Value, settings.MachineCount.Value, settings.MachineRank.Value, settings.MainProcessAddress?.Value, settings.MainProcessPort.Value));
        Assert.Equal(("fp16", true, true), (settings.MixedPrecision.Value, settings.Cpu.Value, settings.Debug?.Value));
        Assert.Equal(("from NODE_RANK", "from MASTER_PORT"), (settings.MachineRank.Source, settings.MainProcessPort.Source));
    }

    [Fact]
    public void Without_anything_there_are_defaults()
    {
        var settings = LaunchSettings.Resolve(new LaunchOptions { Target = "a" }, new EnvironmentReader(_ => null));
        Assert.Equal((1, 0, 29500, "no", false), (settings.MachineCount.Value, settings.MachineRank.Value, settings.MainProcessPort.Value, settings.MixedPrecision.Value, settings.Cpu.Value));
        Assert.Equal((null, null, null), (settings.ProcessCount, settings.MainProcessAddress, settings.Debug));
        Assert.Empty(settings.Notes);
        Assert.True(settings.MainProcessPort.IsDefault);
    }

    [Fact]
    public void What_one_machine_has_no_use_for_is_not_taken_from_the_environment()
    {
        var settings = Resolve(new LaunchOptions { Target = "a" });
        Assert.Equal((0, null, 29500), (settings.MachineRank.Value, settings.MainProcessAddress, settings.MainProcessPort.Value));
    }

    [Fact]
    public void The_decision_names_every_source()
    {
        var plan = LaunchPlan.Make(new LaunchOptions { Target = "a", Config = _file, MachineRank = 1 }, new EnvironmentReader(_environment.GetValueOrDefault), gpuCount: 8, physicalCores: 4);
        Assert.Equal(
            "Launching 6 processes (from job.yaml:8) on CPU (from job.yaml:1), 2 of them here on machine 1 (from --machine_rank 1) of 3 (from job.yaml:7), "
            + "rank 0 at from-file (from job.yaml:4); mixed precision bf16 (from job.yaml:6), 2 CPU thread(s) each (4 physical core(s) / 2), port 1111 (from job.yaml:5).",
            plan.Summary);
        Assert.Equal("false", plan.Variables[EnvironmentVariables.DebugMode]);
    }

    [Fact]
    public void Errors_name_where_a_value_is_written()
    {
        var options = new LaunchOptions { Target = "a", Config = _file, MachineCount = 4 };
        var message = Assert.Throws<UserErrorException>(() => LaunchPlan.Make(options, new EnvironmentReader(_environment.GetValueOrDefault), 0, 4)).Message;
        Assert.StartsWith("num_processes 6 (job.yaml:8) cannot be divided among --num_machines 4.", message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_file_chooses_the_GPUs()
    {
        var file = ConfigFile.Parse("job.yaml", "distributed_type: MULTI_GPU\ngpu_ids: 2,3\n");
        var plan = LaunchPlan.Make(new LaunchOptions { Target = "a", Config = file, MainProcessPort = 0 }, new EnvironmentReader(_ => null), gpuCount: 4, physicalCores: 4);
        Assert.Equal((2, "2,3"), (plan.WorldSize, plan.Variables[EnvironmentVariables.CudaVisibleDevices]));
        Assert.StartsWith("Launching 2 processes (one for each GPU) on GPU 2,3 (from job.yaml:2); ", plan.Summary, StringComparison.Ordinal);
    }

    [Fact]
    public void The_typed_GPUs_come_before_those_of_the_file_also_where_they_are_all()
    {
        var options = new LaunchOptions { Target = "a", Config = ConfigFile.Parse("job.yaml", "distributed_type: MULTI_GPU\ngpu_ids: 2,3\n"), MainProcessPort = 0 };
        var environment = new EnvironmentReader(_ => null);
        Assert.Equal("0,1,3", LaunchPlan.Make(options with { GpuIds = "0, 1,3" }, environment, gpuCount: 4, physicalCores: 4).Variables[EnvironmentVariables.CudaVisibleDevices]);
        Assert.DoesNotContain(EnvironmentVariables.CudaVisibleDevices, LaunchPlan.Make(options with { GpuIds = "all" }, environment, gpuCount: 4, physicalCores: 4).Variables);
    }

    /// <summary>Values of a file that the reference's launcher ignores, because its options have defaults.</summary>
    [Fact]
    public void Everything_in_a_file_counts()
    {
        var file = ConfigFile.Parse("job.yaml", """
            distributed_type: MULTI_GPU
            num_processes: 4
            num_machines: 2
            rdzv_backend: c10d
            same_network: true
            enable_cpu_affinity: true
            mixed_precision: bf16
            debug: true
            gpu_ids: 0,1
            main_process_ip: n0
            """);
        var options = new LaunchOptions { Target = "a", Config = file };
        var settings = Resolve(options);
        Assert.Equal((4, 2, "bf16", true, "0,1"), (settings.ProcessCount?.Value, settings.MachineCount.Value, settings.MixedPrecision.Value, settings.Debug?.Value, settings.GpuIds?.Value));
        var execution = ExecutionSettings.Resolve(options, new EnvironmentReader(_environment.GetValueOrDefault));
        Assert.Equal(("c10d", true, true), (execution.Backend.Value, execution.SameNetwork.Value, execution.CpuAffinity.Value));
        Assert.Equal(("from job.yaml:4", "from job.yaml:5", "from job.yaml:6"), (execution.Backend.Source, execution.SameNetwork.Source, execution.CpuAffinity.Source));
    }

    private static LaunchSettings Resolve(LaunchOptions options) => LaunchSettings.Resolve(options, new EnvironmentReader(_environment.GetValueOrDefault));
}

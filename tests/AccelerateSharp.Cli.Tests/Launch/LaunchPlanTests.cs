using AccelerateSharp.Cli.Launch;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Tests.Launch;

public sealed class LaunchPlanTests
{
    private static readonly LaunchOptions _plain = new() { Target = "train.cs", MainProcessPort = 0 };

    [Theory]
    [InlineData(null, false, 0, 1, "without GPUs")]
    [InlineData(null, false, 4, 4, "one for each GPU")]
    [InlineData(null, true, 4, 1, "on CPU (from --cpu)")]
    [InlineData(2, true, 0, 2, "from --num_processes 2")]
    [InlineData(2, false, 4, 2, "on GPU")]
    [InlineData(3, false, 0, 3, "no GPU found")]
    public void The_number_of_processes_and_its_reason(int? asked, bool cpu, int gpus, int expected, string reason)
    {
        var plan = Make(_plain with { ProcessCount = asked, Cpu = cpu }, gpus);
        Assert.Equal(expected, plan.WorldSize);
        Assert.Contains(reason, plan.Summary, StringComparison.Ordinal);
        Assert.Equal(cpu ? "True" : "False", plan.Variables[EnvironmentVariables.UseCpu]);
    }

    [Theory]
    [InlineData(8, 2, null, "4")]
    [InlineData(2, 4, null, "1")]
    [InlineData(8, 2, "3", "3")]
    public void Threads_share_the_physical_cores(int cores, int processes, string? set, string expected)
    {
        var plan = LaunchPlan.Make(
            _plain with { Cpu = true, ProcessCount = processes }, new EnvironmentReader(name => name == EnvironmentVariables.OmpThreads ? set : null), 0, cores);
        Assert.Equal(expected, plan.Variables[EnvironmentVariables.OmpThreads]);
    }

    [Fact]
    public void Machines_share_the_processes()
    {
        var plan = LaunchPlan.Make(
            _plain with { ProcessCount = 6, MachineCount = 3, MachineRank = 2, MainProcessAddress = "n0", MainProcessPort = 1234 },
            new EnvironmentReader(name => name == EnvironmentVariables.RendezvousToken ? "0123456789abcdef" : null), gpuCount: 2, physicalCores: 2);
        var worker = Round.Of(plan, "job", attempt: 0).WorkerAt(1, plan, "n0:1234");
        Assert.Equal(
            new WorkerEnvironment
            {
                Rank = 5,
                WorldSize = 6,
                LocalRank = 1,
                LocalWorldSize = 2,
                MachineRank = 2,
                MachineCount = 3,
                MasterAddress = "n0",
                MasterPort = 1234,
                Token = "0123456789abcdef",
                StoreEndpoint = "n0:1234",
            },
            worker);
    }

    [Fact]
    public void Contradictions_name_the_option()
    {
        AssertRefused("--num_processes 8", _plain with { ProcessCount = 8 }, gpus: 4);
        AssertRefused("--num_processes 3", _plain with { ProcessCount = 3, MachineCount = 2, MainProcessAddress = "n0" });
        AssertRefused("--machine_rank 2", _plain with { MachineCount = 2, MachineRank = 2 });
        AssertRefused("--main_process_ip", _plain with { MachineCount = 2 });
        AssertRefused("--main_process_port 0", _plain with { MachineCount = 2, MainProcessAddress = "n0" });
        AssertRefused("--main_process_port 70000", _plain with { MainProcessPort = 70000 });
        AssertRefused("--gpu_ids 0,0 names a GPU twice", _plain with { GpuIds = "0,0" }, gpus: 2);
        AssertRefused("--gpu_ids 0,7: there is no GPU 7; this machine has 2", _plain with { GpuIds = "0,7" }, gpus: 2);
        AssertRefused("--gpu_ids one two", _plain with { GpuIds = "one two" }, gpus: 2);
        var multi = _plain with { Paradigm = new() { MultiGpu = true } };
        AssertRefused("--multi_gpu: no GPU was found", multi);
        AssertRefused("--multi_gpu and --cpu exclude each other", multi with { Cpu = true });
        AssertRefused("--multi_gpu is for two processes and more", multi with { ProcessCount = 1 }, gpus: 2);
        AssertRefused("--multi_gpu on one machine needs two GPUs", multi with { GpuIds = "1", ProcessCount = 1 }, gpus: 2);
        AssertRefused(EnvironmentVariables.RendezvousToken, _plain with { MachineCount = 2, MainProcessAddress = "n0", MainProcessPort = 1234 });
    }

    private static void AssertRefused(string named, LaunchOptions options, int gpus = 0) =>
        Assert.Contains(named, Assert.Throws<UserErrorException>(() => Make(options, gpus)).Message, StringComparison.Ordinal);

    private static LaunchPlan Make(LaunchOptions options, int gpus) => LaunchPlan.Make(options, new EnvironmentReader(_ => null), gpus, physicalCores: 8);
}

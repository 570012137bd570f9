using AccelerateSharp.Cli.Launch;
using AccelerateSharp.Cli.Launch.Clusters;
using AccelerateSharp.Configuration;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Tests.Launch;

/// <summary>What clusters say of a machine's place, and what comes before it.</summary>
public sealed class ClusterTests
{
    // As srun sets them for the second of four nodes.
    private readonly Dictionary<string, string> _slurm = new()
    {
        ["SLURM_JOB_ID"] = "77",
        ["SLURM_NNODES"] = "4",
        ["SLURM_STEP_ID"] = "0",
        ["SLURM_STEP_NUM_NODES"] = "4",
        ["SLURM_STEP_NUM_TASKS"] = "4",
        ["SLURM_STEP_TASKS_PER_NODE"] = "1(x4)",
        ["SLURM_STEP_NODELIST"] = "gpu[003-005,9]",
        ["SLURM_NODEID"] = "1",
        ["SLURM_PROCID"] = "1",
        ["SLURM_LOCALID"] = "0",
        [EnvironmentVariables.RendezvousToken] = "0123456789abcdef",
    };

    [Fact]
    public void Srun_says_how_many_nodes_there_are_which_this_is_and_which_is_the_first()
    {
        var plan = LaunchPlan.Make(new LaunchOptions { Target = "a" }, Reader(_slurm), gpuCount: 8, physicalCores: 8);
        Assert.Equal((32, 8, 4, 1, "gpu003", 29500), (plan.WorldSize, plan.LocalWorldSize, plan.MachineCount, plan.MachineRank, plan.MasterAddress, plan.MasterPort));
        Assert.Contains("on machine 1 (from SLURM_NODEID) of 4 (from SLURM_STEP_NUM_NODES), rank 0 at gpu003 (from SLURM_STEP_NODELIST)", plan.Summary, StringComparison.Ordinal);
        Assert.Empty(plan.Notes);
    }

    [Fact]
    public void A_file_comes_before_the_cluster_and_that_is_said()
    {
        var file = ConfigFile.Parse("job.yaml", "distributed_type: MULTI_GPU\nnum_machines: 1\n");
        var settings = LaunchSettings.Resolve(new LaunchOptions { Target = "a", Config = file }, Reader(_slurm));
        Assert.Equal((1, 0), (settings.MachineCount.Value, settings.MachineRank.Value));
        Assert.StartsWith("SLURM_STEP_NUM_NODES=4 does not count: num_machines 1 (job.yaml:2)", Assert.Single(settings.Notes), StringComparison.Ordinal);
    }

    [Fact]
    public void Several_launchers_on_one_node_are_refused()
    {
        _slurm["SLURM_STEP_TASKS_PER_NODE"] = "2(x3),8";
        Assert.Contains("SLURM started 2 tasks on this node", Refusal(_slurm), StringComparison.Ordinal);
        _slurm["SLURM_NODEID"] = "3";
        Assert.Contains("SLURM started 8 tasks on this node", Refusal(_slurm), StringComparison.Ordinal);
    }

    [Fact]
    public void The_batch_script_itself_runs_on_one_node()
    {
        var settings = LaunchSettings.Resolve(
            new LaunchOptions { Target = "a" }, Reader(new() { ["SLURM_JOB_ID"] = "77", ["SLURM_NNODES"] = "4", ["SLURM_NODEID"] = "0", ["SLURM_PROCID"] = "0" }));
        Assert.Equal(1, settings.MachineCount.Value);
        Assert.Contains("SLURM gave this job 4 nodes, and this launcher runs on one of them: `srun", Assert.Single(settings.Notes), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")]
    [InlineData("PET_NNODES", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT")]
    public void Torchrun_s_variables_say_the_place(string nodes, string rank, string address, string port)
    {
        var plan = LaunchPlan.Make(
            new LaunchOptions { Target = "a" },
            Reader(new() { [nodes] = "2", [rank] = "1", [address] = "n0", [port] = "2222", ["PET_NPROC_PER_NODE"] = "3", [EnvironmentVariables.RendezvousToken] = "0123456789abcdef" }), 0, 8);
        Assert.Equal((6, 3, 2, 1, "n0", 2222), (plan.WorldSize, plan.LocalWorldSize, plan.MachineCount, plan.MachineRank, plan.MasterAddress, plan.MasterPort));
    }

    [Fact]
    public void An_indexed_job_of_Kubernetes_says_the_rank_and_its_service_the_first_pod()
    {
        var hosts = Path.GetTempFileName();
        try
        {
            File.WriteAllText(hosts, "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n10.1.2.3\ttrain-12.train.default.svc.cluster.local\ttrain-12\n");
            var environment = Reader(new() { ["JOB_COMPLETION_INDEX"] = "12", ["HOSTNAME"] = "train-12" });
            Assert.Equal("train-0.train.default.svc.cluster.local", KubernetesPod.Detect(environment, hosts)?.FirstPod);
            var cluster = new ClusterSettings(new SettingReader(file: null, environment), KubernetesPod.Detect(environment, hosts));
            Assert.Equal((12, "train-0.train.default.svc.cluster.local"), (cluster.MachineRank?.Value, cluster.Address?.Value));
            // Without a headless service pods do not know each other's names.
            File.WriteAllText(hosts, "10.1.2.3\ttrain-12\n");
            Assert.Null(KubernetesPod.Detect(environment, hosts)!.FirstPod);
            Assert.Null(KubernetesPod.Detect(Reader([])));
        }
        finally
        {
            File.Delete(hosts);
        }
    }

    private static string Refusal(Dictionary<string, string> environment) =>
        Assert.Throws<UserErrorException>(() => LaunchSettings.Resolve(new LaunchOptions { Target = "a" }, Reader(environment))).Message;

    private static EnvironmentReader Reader(Dictionary<string, string> environment) => new(environment.GetValueOrDefault);
}

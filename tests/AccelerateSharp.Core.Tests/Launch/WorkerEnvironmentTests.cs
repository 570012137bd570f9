using AccelerateSharp.Launch;

namespace AccelerateSharp.Core.Tests.Launch;

public sealed class WorkerEnvironmentTests
{
    [Fact]
    public void A_program_started_by_hand_is_alone()
    {
        var worker = Read("");
        Assert.Equal(new WorkerEnvironment(), worker);
        Assert.Equal((0, 1, 0, 1, false), (worker.Rank, worker.WorldSize, worker.LocalRank, worker.LocalWorldSize, worker.IsLaunched));
    }

    [Theory]
    // torchrun, two machines of four
    [InlineData("RANK=5 WORLD_SIZE=8 LOCAL_RANK=1 LOCAL_WORLD_SIZE=4 GROUP_RANK=1 GROUP_WORLD_SIZE=2 MASTER_ADDR=n0 MASTER_PORT=1234", 5, 8, 1, 4, 1, 2, "n0", 1234)]
    // the minimum
    [InlineData("RANK=1 WORLD_SIZE=2", 1, 2, 1, 2, 0, 1, "127.0.0.1", 29500)]
    [InlineData("RANK=3 WORLD_SIZE=8 LOCAL_WORLD_SIZE=2 MASTER_ADDR=n0", 3, 8, 1, 2, 1, 4, "n0", 29500)]
    // MPICH and Intel MPI, Open MPI, MVAPICH
    [InlineData("PMI_RANK=1 PMI_SIZE=2 MPI_LOCALRANKID=1 MPI_LOCALNRANKS=2", 1, 2, 1, 2, 0, 1, "127.0.0.1", 29500)]
    [InlineData("OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_RANK=1 OMPI_COMM_WORLD_LOCAL_SIZE=2 MASTER_ADDR=n0", 3, 4, 1, 2, 1, 2, "n0", 29500)]
    [InlineData("MV2_COMM_WORLD_RANK=0 MV2_COMM_WORLD_SIZE=2 MV2_COMM_WORLD_LOCAL_RANK=0 MV2_COMM_WORLD_LOCAL_SIZE=2", 0, 2, 0, 2, 0, 1, "127.0.0.1", 29500)]
    // the first name wins, and -1 means "not set"
    [InlineData("RANK=-1 PMI_RANK=1 OMPI_COMM_WORLD_RANK=0 PMI_SIZE=2 OMPI_COMM_WORLD_SIZE=4", 1, 2, 1, 2, 0, 1, "127.0.0.1", 29500)]
    // srun, one and three machines
    [InlineData("SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_LOCALID=1 SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NUM_NODES=1 SLURM_NODEID=0", 1, 2, 1, 2, 0, 1, "127.0.0.1", 29500)]
    [InlineData("SLURM_STEP_ID=0 SLURM_PROCID=8 SLURM_LOCALID=0 SLURM_STEP_NUM_TASKS=11 SLURM_STEP_NUM_NODES=3 SLURM_NODEID=2 SLURM_STEP_TASKS_PER_NODE=4(x2),3 SLURM_STEP_NODELIST=gpu[003-005]", 8, 11, 0, 3, 2, 3, "gpu003", 29500)]
    // the batch script of a SLURM job is no task of it
    [InlineData("SLURM_PROCID=0 SLURM_NTASKS=16 SLURM_LOCALID=0 SLURM_NODEID=0", 0, 1, 0, 1, 0, 1, "127.0.0.1", 29500)]
    public void Every_launchers_names_are_understood(
        string variables, int rank, int world, int localRank, int localWorld, int machine, int machines, string address, int port)
    {
        var worker = Read(variables);
        Assert.Equal((rank, world, localRank, localWorld), (worker.Rank, worker.WorldSize, worker.LocalRank, worker.LocalWorldSize));
        Assert.Equal((machine, machines, address, port), (worker.MachineRank, worker.MachineCount, worker.MasterAddress, worker.MasterPort));
    }

    [Theory]
    [InlineData("RANK=one WORLD_SIZE=2", "RANK=one")]
    [InlineData("RANK=2 WORLD_SIZE=2", "RANK=2 is not below WORLD_SIZE=2")]
    [InlineData("RANK=1", "WORLD_SIZE")]
    [InlineData("WORLD_SIZE=2", "RANK")]
    [InlineData("RANK=0 WORLD_SIZE=0", "WORLD_SIZE=0")]
    [InlineData("RANK=0 WORLD_SIZE=2 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2", "LOCAL_RANK=1 is above RANK=0")]
    [InlineData("RANK=3 WORLD_SIZE=4 LOCAL_RANK=2 LOCAL_WORLD_SIZE=2 MASTER_ADDR=n0", "LOCAL_RANK=2")]
    [InlineData("RANK=0 WORLD_SIZE=2 LOCAL_WORLD_SIZE=4", "LOCAL_WORLD_SIZE=4")]
    [InlineData("RANK=4 WORLD_SIZE=8 LOCAL_RANK=0 MASTER_ADDR=n0", "LOCAL_WORLD_SIZE")]
    [InlineData("RANK=0 WORLD_SIZE=2 LOCAL_WORLD_SIZE=1", "MASTER_ADDR is not set")]
    [InlineData("RANK=0 WORLD_SIZE=2 LOCAL_WORLD_SIZE=1 MASTER_ADDR=127.0.0.1", "MASTER_ADDR=127.0.0.1")]
    [InlineData("RANK=0 WORLD_SIZE=2 MASTER_PORT=70000", "MASTER_PORT=70000")]
    [InlineData("OMPI_COMM_WORLD_RANK=2 PMI_SIZE=2", "OMPI_COMM_WORLD_RANK=2 is not below PMI_SIZE=2")]
    public void Contradictions_name_the_variable_and_the_value(string variables, string named)
    {
        var error = Assert.Throws<InvalidOperationException>(() => Read(variables));
        Assert.Contains(named, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_the_launcher_writes_is_what_the_worker_reads()
    {
        var written = new WorkerEnvironment
        {
            Rank = 5,
            WorldSize = 8,
            LocalRank = 1,
            LocalWorldSize = 4,
            MachineRank = 1,
            MachineCount = 2,
            MasterAddress = "n0",
            MasterPort = 1234,
            Token = "0123456789abcdef",
            StoreEndpoint = "n0:1234",
            Generation = 3,
            IsLaunched = true,
        };
        var variables = written.ToVariables().ToDictionary();
        Assert.Equal(written, WorkerEnvironment.Read(variables.GetValueOrDefault));
    }

    [Theory]
    [InlineData("y", true)]
    [InlineData("YES", true)]
    [InlineData("t", true)]
    [InlineData("True", true)]
    [InlineData("on", true)]
    [InlineData("1", true)]
    [InlineData("n", false)]
    [InlineData("no", false)]
    [InlineData("F", false)]
    [InlineData("false", false)]
    [InlineData("OFF", false)]
    [InlineData("0", false)]
    [InlineData("", true)]
    public void Switches_are_read_in_every_spelling(string text, bool expected) =>
        Assert.Equal(expected, new EnvironmentReader(_ => text).Flag(EnvironmentVariables.UseCpu, defaultValue: true));

    [Fact]
    public void Another_spelling_of_a_switch_is_an_error()
    {
        var error = Assert.Throws<InvalidOperationException>(() => new EnvironmentReader(_ => "maybe").Flag(EnvironmentVariables.UseCpu));
        Assert.Contains("ACCELERATE_USE_CPU=maybe", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("node1", "node1")]
    [InlineData("node1,node2", "node1")]
    [InlineData("gpu[003-005,9],login", "gpu003")]
    [InlineData("gpu[7,9]", "gpu7")]
    [InlineData("rack[1-2]-node,login", "rack1-node")]
    public void The_first_host_of_a_list(string list, string host) => Assert.Equal(host, SlurmVariables.FirstHost(list));

    private static WorkerEnvironment Read(string variables)
    {
        var environment = variables.Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .Select(variable => variable.Split('=', 2)).ToDictionary(pair => pair[0], pair => pair[1]);
        return WorkerEnvironment.Read(environment.GetValueOrDefault);
    }
}

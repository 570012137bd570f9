namespace AccelerateSharp.Launch;

/// <summary>Every environment variable that passes between launcher and worker, in one place.</summary>
internal static class EnvironmentVariables
{
    // torchrun's names: what the launcher writes, and what a worker reads first.
    public const string Rank = "RANK";
    public const string WorldSize = "WORLD_SIZE";
    public const string LocalRank = "LOCAL_RANK";
    public const string LocalWorldSize = "LOCAL_WORLD_SIZE";
    public const string GroupRank = "GROUP_RANK";
    public const string GroupWorldSize = "GROUP_WORLD_SIZE";
    public const string MasterAddress = "MASTER_ADDR";
    public const string MasterPort = "MASTER_PORT";
    public const string UseAgentStore = "TORCHELASTIC_USE_AGENT_STORE";
    public const string RestartCount = "TORCHELASTIC_RESTART_COUNT";
    public const string MaxRestarts = "TORCHELASTIC_MAX_RESTARTS";
    public const string RunId = "TORCHELASTIC_RUN_ID";
    public const string RoleName = "ROLE_NAME";
    public const string RoleRank = "ROLE_RANK";
    public const string RoleWorldSize = "ROLE_WORLD_SIZE";

    // The rendezvous of this project.
    public const string RendezvousToken = "ACCELERATE_RDZV_TOKEN";
    public const string RendezvousEndpoint = "ACCELERATE_RDZV_ENDPOINT";
    public const string RendezvousGeneration = "ACCELERATE_RDZV_GENERATION";

    // What `accelerate launch` decides for the program.
    public const string UseCpu = "ACCELERATE_USE_CPU";
    public const string MixedPrecision = "ACCELERATE_MIXED_PRECISION";
    public const string UseFsdp = "ACCELERATE_USE_FSDP";
    public const string UseDeepSpeed = "ACCELERATE_USE_DEEPSPEED";
    public const string UseParallelismConfig = "ACCELERATE_USE_PARALLELISM_CONFIG";

    /// <summary>The fields that `accelerate config`'s file gave, which DeepSpeed's own file may then not give as well.</summary>
    public const string DeepSpeedFields = "ACCELERATE_CONFIG_DS_FIELDS";

    public const string DebugMode = "ACCELERATE_DEBUG_MODE";

    /// <summary>1 where the launcher shows the workers' output at a terminal, so that progress bars have one although they write to a pipe.</summary>
    public const string Terminal = "ACCELERATE_TERMINAL";

    public const string OmpThreads = "OMP_NUM_THREADS";

    public const string CpuAffinity = "ACCELERATE_CPU_AFFINITY";

    // CUDA's own.
    public const string CudaVisibleDevices = "CUDA_VISIBLE_DEVICES";

    // What other launchers and clusters say of a machine.
    public const string NodeRank = "NODE_RANK";

    // Read by the library alone.
    public const string GradientAccumulationSteps = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS";
    public const string TorchDevice = "ACCELERATE_TORCH_DEVICE";

    // SLURM's names. Those of the job step are set by srun alone: the batch script itself, which also has a SLURM_PROCID, is no worker.
    public const string SlurmStepId = "SLURM_STEP_ID";
    public const string SlurmStepTasks = "SLURM_STEP_NUM_TASKS";
    public const string SlurmStepTasksPerNode = "SLURM_STEP_TASKS_PER_NODE";
    public const string SlurmStepNodes = "SLURM_STEP_NUM_NODES";
    public const string SlurmStepNodeList = "SLURM_STEP_NODELIST";
    public const string SlurmNodeId = "SLURM_NODEID";

    // Where a number may come from, the first one present and not negative counting.
    public static readonly string[] RankNames =
        [Rank, "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID"];
    public static readonly string[] WorldSizeNames =
        [WorldSize, "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", SlurmStepTasks, "SLURM_NTASKS"];
    public static readonly string[] LocalRankNames =
        [LocalRank, "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"];
    public static readonly string[] LocalWorldSizeNames =
        [LocalWorldSize, "MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE"];
    public static readonly string[] MachineRankNames = [GroupRank, NodeRank, SlurmNodeId];
    public static readonly string[] MachineCountNames = [GroupWorldSize, "NNODES", SlurmStepNodes];
    public static readonly string[] GenerationNames = [RendezvousGeneration, RestartCount];
}

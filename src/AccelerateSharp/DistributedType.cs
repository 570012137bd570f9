namespace AccelerateSharp;

/// <summary>How the processes of this job share the work.</summary>
public enum DistributedType
{
    /// <summary>One process.</summary>
    No,

    /// <summary>Several processes on CPUs, which talk through Gloo.</summary>
    MultiCpu,

    /// <summary>One process for each GPU, which talk through NCCL.</summary>
    MultiGpu,

    /// <summary>Several processes, on CPUs or GPUs, among which the models are divided (FSDP).</summary>
    Fsdp,

    /// <summary>Several processes, on CPUs or GPUs, among which the training is divided as a DeepSpeed configuration says.</summary>
    DeepSpeed,
}

namespace AccelerateSharp.Configuration;

/// <summary>The values of <c>distributed_type</c> that this project acts on.</summary>
internal static class DistributedTypes
{
    public const string None = "NO";
    public const string MultiCpu = "MULTI_CPU";
    public const string MultiGpu = "MULTI_GPU";
    public const string Fsdp = "FSDP";
    public const string DeepSpeed = "DEEPSPEED";
    public const string MegatronLm = "MEGATRON_LM";
}

using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Launch.Sections;

/// <summary>The options of the reference's parallelism configuration, of which FSDP over all processes is what there is here.</summary>
internal static class ParallelismFlags
{
    public static readonly SectionFlag Replicate = Size("dp_replicate", "Copies of the model; more than 1: use HYBRID_SHARD of FSDP 1.");
    public static readonly SectionFlag Shard = Size("dp_shard", "Processes that share a model: all, or 1 for not said.");
    public static readonly SectionFlag Tensor = Size("tp", "Tensor parallelism: 1.");
    public static readonly SectionFlag Context = Size("cp", "Context parallelism: 1.");
    public static readonly SectionFlag Sequence = Size("sp", "Sequence parallelism: 1.");

    public static readonly IReadOnlyList<SectionFlag> All =
    [
        Replicate, Shard, Tensor, Context, Sequence,
        Other("cp_backend", "Without effect."), Other("cp_comm_strategy", "Without effect."), Other("sp_backend", "Without effect."),
        Other("sp_seq_length", "Without effect."), Other("sp_seq_length_is_variable", "Without effect."), Other("sp_attn_implementation", "Without effect."),
    ];

    private static SectionFlag Size(string name, string help) => Flag(name + "_size", help) with { HelpName = "N" };

    private static SectionFlag Other(string name, string help) => Flag(name, help) with { WithoutEffect = "there is no context or sequence parallelism here" };

    private static SectionFlag Flag(string name, string help) =>
        new(ConfigKeys.Parallelism, "parallelism_config_" + name, "--parallelism_config_" + name, "PARALLELISM_CONFIG_" + name.ToUpperInvariant(), help);
}

using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Launch.Sections;

/// <summary>The options of fp8. What nobody says is left to the library, whose defaults are the reference's.</summary>
internal static class Fp8Flags
{
    private const string Prefix = "ACCELERATE_FP8_";

    public static readonly SectionFlag Backend = Flag("backend", "te, msamp or ao.", "NAME");

    /// <summary>Three switches, each with a variable of its own.</summary>
    public static readonly SectionFlag OverrideLinearPrecision =
        Flag("override_linear_precision", "Keep forward, input gradient, weight gradient of linear layers out of fp8.", "B,B,B") with { Variable = null };

    public static readonly IReadOnlyList<string> OverrideVariables = [Prefix + "OVERRIDE_FPROP", Prefix + "OVERRIDE_DGRAD", Prefix + "OVERRIDE_WGRAD"];

    public static readonly IReadOnlyList<SectionFlag> All =
    [
        Backend,
        Flag("use_autocast_during_eval", "te: fp8 in evaluation as well.", "") with { IsSwitch = true },
        Flag("margin", "te: spare powers of two above the largest value.", "N"),
        Flag("interval", "te: steps between new scales.", "N"),
        Flag("format", "te: HYBRID, E4M3 or E5M2.", "NAME"),
        Flag("amax_history_len", "te: steps whose largest values count.", "N"),
        Flag("amax_compute_algo", "te: max or most_recent.", "NAME"),
        OverrideLinearPrecision,
        Flag("opt_level", "msamp: O1, O2 or O3.", "NAME"),
        Flag("enable_fsdp_float8_all_gather", "ao: FSDP gathers in fp8.", "BOOL"),
        Flag("pad_inner_dim", "ao: pad to what fp8 products need.", "BOOL"),
    ];

    private static SectionFlag Flag(string name, string help, string helpName) =>
        new(ConfigKeys.Fp8, name == "format" ? "fp8_format" : name, "--fp8_" + name, Prefix + name.ToUpperInvariant(), help) { HelpName = helpName };
}

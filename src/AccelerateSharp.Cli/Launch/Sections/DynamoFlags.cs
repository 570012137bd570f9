using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Launch.Sections;

/// <summary>The options of torch.compile, which libtorch does not have: accepted, and named as without effect.</summary>
internal static class DynamoFlags
{
    public static readonly IReadOnlyList<SectionFlag> All =
    [
        Flag("backend", "NAME"), Flag("mode", "NAME"),
        Flag("use_fullgraph", "") with { IsSwitch = true }, Flag("use_dynamic", "") with { IsSwitch = true }, Flag("use_regional_compilation", "") with { IsSwitch = true },
    ];

    private static SectionFlag Flag(string name, string helpName) => new(ConfigKeys.Dynamo, "dynamo_" + name, "--dynamo_" + name, Variable: null, "Without effect.")
    {
        HelpName = helpName,
        WithoutEffect = "libtorch has no torch.compile",
    };
}

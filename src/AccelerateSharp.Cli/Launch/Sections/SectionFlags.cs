namespace AccelerateSharp.Cli.Launch.Sections;

/// <summary>Every option that stands for a key in a section of the configuration file.</summary>
internal static class SectionFlags
{
    public static readonly IReadOnlyList<SectionFlag> All = [.. FsdpFlags.All, .. DeepSpeedFlags.All, .. Fp8Flags.All, .. ParallelismFlags.All, .. DynamoFlags.All];
}

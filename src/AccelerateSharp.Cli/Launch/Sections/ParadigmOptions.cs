namespace AccelerateSharp.Cli.Launch.Sections;

/// <summary>What the user asked about how the processes share the training.</summary>
internal sealed record ParadigmOptions
{
    public bool MultiGpu { get; init; }

    public bool UseFsdp { get; init; }

    public bool UseDeepSpeed { get; init; }

    public bool UseParallelism { get; init; }

    /// <summary>What was typed for the options of sections, by option.</summary>
    public IReadOnlyDictionary<string, string> Sections { get; init; } = new Dictionary<string, string>();
}

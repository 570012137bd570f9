namespace AccelerateSharp;

/// <summary>How autocast works where it is in force.</summary>
public sealed class AutocastKwargs
{
    /// <summary>Whether operators run in the narrow dtype; false makes an island of full precision. True by default.</summary>
    public bool Enabled { get; init; } = true;

    /// <summary>
    /// Whether a weight that was cast is kept until the outermost region ends, so that a layer that runs twice casts once. True by
    /// default; false where weights change inside a region.
    /// </summary>
    public bool CacheEnabled { get; init; } = true;
}

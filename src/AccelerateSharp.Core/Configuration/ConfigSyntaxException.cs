namespace AccelerateSharp.Configuration;

/// <summary>A file that is neither YAML nor JSON, or uses what a configuration has no use for.</summary>
internal sealed class ConfigSyntaxException(int line, string message) : Exception(message)
{
    /// <summary>The line, from 1.</summary>
    public int Line { get; } = line;
}

namespace AccelerateSharp.Cli.Launch.Decisions;

/// <summary>A setting, its value, and where that comes from.</summary>
internal sealed record Decision(string Name, string Value, string Source);

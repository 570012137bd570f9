using System.Globalization;

namespace AccelerateSharp.Cli.Launch;

/// <summary>What a worker is to a person.</summary>
internal readonly record struct WorkerName(int Rank, string Role = WorkerName.DefaultRole)
{
    /// <summary>The role that nobody has to be told of.</summary>
    public const string DefaultRole = "default";

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{(Role == DefaultRole ? "" : Role + " ")}rank {Rank}");
}

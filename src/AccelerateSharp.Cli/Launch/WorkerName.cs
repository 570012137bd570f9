using System.Globalization;

namespace AccelerateSharp.Cli.Launch;

/// <summary>What a worker is to a person.</summary>
internal readonly record struct WorkerName(int Rank, string Role = WorkerName.DefaultRole)
{
    /// <summary>The role that nobody has to be told of.</summary>
    public const string DefaultRole = "default";

    private const int None = -1;

    /// <summary>A program that is no rank itself.</summary>
    public static WorkerName OfProgram(string name) => new(None, name);

    public override string ToString() =>
        Rank == None ? Role : string.Create(CultureInfo.InvariantCulture, $"{(Role == DefaultRole ? "" : Role + " ")}rank {Rank}");
}

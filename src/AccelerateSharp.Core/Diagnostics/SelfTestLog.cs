using System.Text.Json;
using System.Text.Json.Serialization;

namespace AccelerateSharp.Diagnostics;

/// <summary>What one rank of the self-test writes about one part: a line when it begins, and a line when it has ended.</summary>
/// <param name="Part">The part's name.</param>
/// <param name="Ended">False for the line that says that the part begins.</param>
/// <param name="Problems">What was not as it should be; nothing where all was well.</param>
/// <param name="IsConsequence">Whether the part failed only because another rank did.</param>
/// <param name="Seconds">How long it took.</param>
/// <param name="Note">What was checked, in a few words.</param>
internal sealed record SelfTestRecord(string Part, bool Ended, IReadOnlyList<string> Problems, bool IsConsequence = false, double Seconds = 0, string? Note = null);

/// <summary>The file of one rank: JSON, one record on each line, so that what a rank wrote before it died can be read.</summary>
internal static class SelfTestLog
{
    /// <summary>The parts, in the order in which they run.</summary>
    public static readonly string[] Parts =
        ["start", "collectives", "loader sharding", "gather for metrics", "training, 1 step", "training, 20 steps", "sharded training", "precision"];

    public static string FileOf(string folder, int rank) => Path.Combine(folder, $"rank-{rank}.jsonl");

    public static void Append(string file, SelfTestRecord record) =>
        File.AppendAllText(file, JsonSerializer.Serialize(record, SelfTestJson.Default.SelfTestRecord) + "\n");

    /// <summary>What a rank wrote; nothing where it never got that far.</summary>
    public static IReadOnlyList<SelfTestRecord> Read(string file)
    {
        if (!File.Exists(file)) return [];
        var records = new List<SelfTestRecord>();
        foreach (var line in File.ReadLines(file))
        {
            try
            {
                if (JsonSerializer.Deserialize(line, SelfTestJson.Default.SelfTestRecord) is { } record) records.Add(record);
            }
            catch (JsonException)
            {
                // The rank was killed while it wrote its last line: its part has not ended.
            }
        }
        return records;
    }
}

[JsonSerializable(typeof(SelfTestRecord))]
internal sealed partial class SelfTestJson : JsonSerializerContext;

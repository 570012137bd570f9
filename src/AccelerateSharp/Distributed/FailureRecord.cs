using System.Text.Json;
using System.Text.Json.Serialization;

namespace AccelerateSharp.Distributed;

/// <summary>A group's failure as its first witness writes it into the store for the others.</summary>
internal sealed record FailureRecord(
    string Group, string Type, string Message, int Rank, string? Collective, long SequenceNumber, string? Shapes, int[] MissingRanks)
{
    public static FailureRecord From(string group, DistributedException failure) => new(
        group, failure.GetType().Name, failure.Message, failure.Rank, failure.Collective, failure.SequenceNumber, failure.Shapes,
        [.. failure.MissingRanks]);

    public static FailureRecord? Parse(ReadOnlySpan<byte> json) => JsonSerializer.Deserialize(json, FailureRecordContext.Default.FailureRecord);

    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, FailureRecordContext.Default.FailureRecord);

    /// <summary>The same failure on a rank that heard of it.</summary>
    /// <param name="rank">The global rank that throws it.</param>
    public DistributedException ToException(int rank)
    {
        var message = $"Rank {rank} heard: {Message}";
        return Type switch
        {
            nameof(CollectiveMismatchException) => new CollectiveMismatchException(message) { Rank = rank, Collective = Collective, SequenceNumber = SequenceNumber, Shapes = Shapes, MissingRanks = MissingRanks },
            nameof(PeerLostException) => new PeerLostException(message) { Rank = rank, Collective = Collective, SequenceNumber = SequenceNumber, Shapes = Shapes, MissingRanks = MissingRanks },
            nameof(CollectiveTimeoutException) => new CollectiveTimeoutException(message) { Rank = rank, Collective = Collective, SequenceNumber = SequenceNumber, Shapes = Shapes, MissingRanks = MissingRanks },
            _ => new DistributedException(message) { Rank = rank, Collective = Collective, SequenceNumber = SequenceNumber, Shapes = Shapes, MissingRanks = MissingRanks },
        };
    }
}

[JsonSerializable(typeof(FailureRecord))]
internal sealed partial class FailureRecordContext : JsonSerializerContext;

using System.Globalization;

namespace AccelerateSharp.Cli.Launch.Logs;

/// <summary>Which of a worker's streams go to files, beside the screen.</summary>
[Flags]
internal enum Streams
{
    None = 0,
    Output = 1,
    Error = 2,
    Both = Output | Error,
}

/// <summary>torchrun's <c>--tee</c>: the streams of every worker, or of each by its local rank.</summary>
internal sealed class TeeStreams
{
    private readonly Streams _all;
    private readonly Dictionary<int, Streams>? _byLocalRank;

    public TeeStreams(Streams all) => _all = all;

    private TeeStreams(Dictionary<int, Streams> byLocalRank) => _byLocalRank = byLocalRank;

    /// <summary>Whether anything goes to a file.</summary>
    public bool IsAny => _byLocalRank is null ? _all != Streams.None : _byLocalRank.Values.Any(streams => streams != Streams.None);

    public Streams Of(int localRank) => _byLocalRank is null ? _all : _byLocalRank.GetValueOrDefault(localRank);

    /// <summary>Reads <c>3</c>, or <c>0:3,1:1</c>: pairs of a local rank and its streams.</summary>
    public static TeeStreams Parse(string option, string text)
    {
        if (TryStreams(text, out var all)) return new TeeStreams(all);
        var byRank = new Dictionary<int, Streams>();
        foreach (var pair in text.Split(',', StringSplitOptions.TrimEntries))
        {
            var parts = pair.Split(':');
            if (parts.Length != 2 || !int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var rank)
                || !TryStreams(parts[1], out var streams) || !byRank.TryAdd(rank, streams))
            {
                throw new UserErrorException(
                    $"{option} {text} is not understood. Pass 0 (nothing), 1 (stdout), 2 (stderr) or 3 (both), or a list by local rank such as 0:3,1:1.");
            }
        }
        return new TeeStreams(byRank);
    }

    private static bool TryStreams(string text, out Streams streams)
    {
        streams = default;
        if (text is not ("0" or "1" or "2" or "3")) return false;
        streams = (Streams)(text[0] - '0');
        return true;
    }
}

namespace AccelerateSharp.Configuration;

/// <summary>Finds what somebody meant to write.</summary>
internal static class Spelling
{
    /// <summary>The candidate with the fewest letters to change; null where none is near.</summary>
    public static string? Nearest(string written, IEnumerable<string> candidates)
    {
        var (nearest, distance) = ((string?)null, Math.Max(2, written.Length / 3) + 1);
        foreach (var candidate in candidates)
        {
            var found = Distance(written.ToUpperInvariant(), candidate.ToUpperInvariant());
            if (found < distance) (nearest, distance) = (candidate, found);
        }
        return nearest;
    }

    /// <summary>" Did you mean 'x'?", or nothing.</summary>
    public static string Hint(string written, IEnumerable<string> candidates) =>
        Nearest(written, candidates) is { } nearest ? $" Did you mean '{nearest}'?" : "";

    /// <summary>How many letters to insert, leave out, replace, or swap with their neighbour.</summary>
    public static int Distance(string a, string b)
    {
        var rows = new int[a.Length + 1, b.Length + 1];
        for (var i = 0; i <= a.Length; i++) rows[i, 0] = i;
        for (var j = 0; j <= b.Length; j++) rows[0, j] = j;
        for (var i = 1; i <= a.Length; i++)
        {
            for (var j = 1; j <= b.Length; j++)
            {
                var replaced = rows[i - 1, j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
                rows[i, j] = Math.Min(replaced, Math.Min(rows[i - 1, j], rows[i, j - 1]) + 1);
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) rows[i, j] = Math.Min(rows[i, j], rows[i - 2, j - 2] + 1);
            }
        }
        return rows[a.Length, b.Length];
    }
}

using System.Text.RegularExpressions;

namespace AccelerateSharp.Hub;

/// <summary>What may be used in an address or as the name of a file in the cache.</summary>
internal static partial class HubNames
{
    /// <summary>Whether this can be the name of a model: <c>name</c> or <c>organisation/name</c>.</summary>
    public static bool IsModelId(string text) =>
        text.Length <= 96 && ModelId().IsMatch(text) && !text.Contains("..", StringComparison.Ordinal) && !text.Contains("--", StringComparison.Ordinal);

    /// <summary>Whether this is a path inside a repository that stays there when it is appended to a folder.</summary>
    public static bool IsSafePath(string path) =>
        path.Length > 0 && !path.AsSpan().ContainsAny('\\', '\0', ':')
        && path.Split('/').All(part => part.Length > 0 && part is not ("." or ".."));

    /// <summary>Whether this can be the name of a file: a hash, or another plain word.</summary>
    public static bool IsPlainWord(string text) => Word().IsMatch(text) && text is not ("." or "..");

    /// <summary>The names that are nearest to what was asked for, nearest first.</summary>
    public static IReadOnlyList<string> Nearest(string wanted, IEnumerable<string> names, int count)
    {
        var hasOrganisation = wanted.Contains('/', StringComparison.Ordinal);
        return [.. names.Select(name => (Name: name, Distance: Distance(wanted, hasOrganisation ? name : name[(name.IndexOf('/', StringComparison.Ordinal) + 1)..])))
            .OrderBy(candidate => candidate.Distance).Take(count).Select(candidate => candidate.Name)];
    }

    /// <summary>The number of characters to insert, delete or replace (Levenshtein), without regard to case.</summary>
    private static int Distance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 0; i < a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i + 1;
            for (var j = 0; j < b.Length; j++)
            {
                var replaced = diagonal + (char.ToUpperInvariant(a[i]) == char.ToUpperInvariant(b[j]) ? 0 : 1);
                diagonal = row[j + 1];
                row[j + 1] = Math.Min(replaced, 1 + Math.Min(row[j], diagonal));
            }
        }
        return row[^1];
    }

    [GeneratedRegex(@"\A[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?\z")]
    private static partial Regex ModelId();

    [GeneratedRegex(@"\A[A-Za-z0-9._-]{1,128}\z")]
    private static partial Regex Word();
}

using System.Text;
using System.Text.RegularExpressions;

namespace AccelerateSharp.Models.Tokenizers;

/// <summary>A stretch of a text between two cuts, and whether the pattern matched it.</summary>
internal readonly record struct Cut(int Start, int End, bool IsMatch);

/// <summary>A pattern of a tokenizer.json. They are written for Oniguruma, which sees whole characters where .NET sees UTF-16 halves.</summary>
internal sealed class HubRegex
{
    // What \w is in Oniguruma, which counts the Latin-1 fractions and raised digits as well.
    private const string Word = @"\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\u24B6-\u24E9\u00B2\u00B3\u00B9\u00BC-\u00BE";

    /// <summary>For each general category a rare character of the basic plane, which stands for those beyond it: one UTF-16 unit, same class.</summary>
    private static readonly char[] _standIns = StandIns();

    private readonly Regex _regex;

    private HubRegex(Regex regex) => _regex = regex;

    /// <exception cref="NotSupportedException">The pattern has a construct that means something else in .NET.</exception>
    public static HubRegex Compile(string pattern, TokenizerNode node)
    {
        try
        {
            // Without Multiline, ^ and $ would not be the line anchors that they are there.
            return new HubRegex(new Regex(Translate(pattern, node), RegexOptions.CultureInvariant | RegexOptions.Multiline));
        }
        catch (RegexParseException e)
        {
            throw node.Unsupported($"the pattern {pattern} is not supported ({e.Message})");
        }
    }

    /// <summary>The whole text, cut where matches begin and end.</summary>
    public IEnumerable<Cut> Cut(string text)
    {
        var starts = text.Any(char.IsSurrogate) ? new List<int>(text.Length + 1) : null;
        var done = 0;
        foreach (Match match in _regex.Matches(starts is null ? text : OneUnitEach(text, starts)))
        {
            if (match.Length == 0) continue;
            var (start, end) = starts is null ? (match.Index, match.Index + match.Length) : (starts[match.Index], starts[match.Index + match.Length]);
            if (done < start) yield return new Cut(done, start, false);
            yield return new Cut(start, end, true);
            done = end;
        }
        if (done < text.Length) yield return new Cut(done, text.Length, false);
    }

    /// <summary>The text with one UTF-16 unit for each character, and where each of them starts.</summary>
    private static string OneUnitEach(string text, List<int> starts)
    {
        var units = new StringBuilder(text.Length);
        var at = 0;
        foreach (var rune in text.EnumerateRunes())
        {
            starts.Add(at);
            units.Append(rune.IsBmp ? (char)rune.Value : _standIns[(int)Rune.GetUnicodeCategory(rune)]);
            at += rune.Utf16SequenceLength;
        }
        starts.Add(at);
        return units.ToString();
    }

    private static char[] StandIns()
    {
        var standIns = new char[30];
        // The Yi syllables and their neighbours: no pattern names them.
        for (var c = '\uA000'; c != '\u9FFF'; c = c == '\uFFFF' ? '\0' : (char)(c + 1))
            if (standIns[(int)char.GetUnicodeCategory(c)] == '\0') standIns[(int)char.GetUnicodeCategory(c)] = c;
        return standIns;
    }

    private static string Translate(string pattern, TokenizerNode node)
    {
        var result = new StringBuilder(pattern.Length);
        var inClass = false;
        for (var i = 0; i < pattern.Length; i++)
        {
            var (c, next) = (pattern[i], i + 1 < pattern.Length ? pattern[i + 1] : '\0');
            switch (c)
            {
                case '\\':
                    i++;
                    result.Append(next switch
                    {
                        'w' => inClass ? Word : $"[{Word}]",
                        'W' when !inClass => $"[^{Word}]",
                        'W' or 'b' or 'B' or 'h' or 'H' or 'R' or 'X' or 'K' or 'G' or 'x' or 'y' or 'Y' or 'N' or 'O' or 'g' or 'k' => throw Refused($@"\{next}"),
                        _ => $@"\{next}",
                    });
                    break;
                case '[' when inClass:
                    throw Refused("a class inside a class");
                case '&' when inClass && next == '&':
                    throw Refused("an intersection of classes");
                case '[':
                    inClass = true;
                    result.Append(c);
                    break;
                case ']':
                    inClass = false;
                    result.Append(c);
                    break;
                case '?' or '*' or '+' when !inClass && next == '+':
                    throw Refused("a possessive quantifier");
                default:
                    result.Append(c);
                    break;
            }
        }
        return result.ToString();

        NotSupportedException Refused(string what) => node.Unsupported($"{what} in the pattern {pattern} is not supported");
    }
}

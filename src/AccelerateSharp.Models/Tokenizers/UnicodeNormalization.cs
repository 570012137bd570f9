using System.Globalization;
using System.Text;

namespace AccelerateSharp.Models.Tokenizers;

/// <summary>The four normalization forms of Unicode.</summary>
internal enum UnicodeForm
{
    C,
    D,
    KC,
    KD,
}

/// <summary>Unicode normalization from tables of our own (Unicode Standard Annex 15).</summary>
/// <remarks>.NET leaves a text as it is when globalization is invariant, which is what programs without ICU on the machine run with.</remarks>
internal static class UnicodeNormalization
{
    private const int HangulBase = 0xAC00, LeadBase = 0x1100, VowelBase = 0x1161, TailBase = 0x11A7;
    private const int LeadCount = 19, VowelCount = 21, TailCount = 28, HangulCount = LeadCount * VowelCount * TailCount;

    private static readonly Lazy<Tables> _tables = new(Tables.Read);

    public static string Apply(string text, UnicodeForm form)
    {
        // The first character that any form changes is U+00A0, and U+00C0 for the canonical ones.
        if (!text.AsSpan().ContainsAnyExceptInRange('\0', '\u009F')) return text;
        var points = Decompose(text, compatibility: form is UnicodeForm.KC or UnicodeForm.KD);
        if (form is UnicodeForm.C or UnicodeForm.KC) Compose(points);
        var result = new StringBuilder(points.Count);
        foreach (var point in points) result.Append(new Rune(point).ToString());
        return result.ToString();
    }

    private static List<int> Decompose(string text, bool compatibility)
    {
        var points = new List<int>(text.Length + 16);
        foreach (var rune in text.EnumerateRunes()) Add(rune.Value);
        SortMarks(points);
        return points;

        void Add(int point)
        {
            if (point - HangulBase is >= 0 and < HangulCount and var syllable)
            {
                points.Add(LeadBase + syllable / (VowelCount * TailCount));
                points.Add(VowelBase + syllable % (VowelCount * TailCount) / TailCount);
                if (syllable % TailCount != 0) points.Add(TailBase + syllable % TailCount);
            }
            else if (_tables.Value.Decompositions.TryGetValue(point, out var entry) && (compatibility || entry.IsCanonical))
            {
                foreach (var part in entry.Parts) Add(part);
            }
            else
            {
                points.Add(point);
            }
        }
    }

    /// <summary>Marks that follow one another stand in the order of their classes; those of one class keep theirs.</summary>
    private static void SortMarks(List<int> points)
    {
        for (var i = 1; i < points.Count; i++)
        {
            var (point, mark) = (points[i], Class(points[i]));
            if (mark == 0) continue;
            var at = i;
            for (; at > 0 && Class(points[at - 1]) > mark; at--) points[at] = points[at - 1];
            points[at] = point;
        }
    }

    private static void Compose(List<int> points)
    {
        var (starter, last, write) = (-1, 0, 0);
        foreach (var point in points.ToArray())
        {
            var mark = Class(point);
            // A mark composes with the starter unless one of the same class, or another starter, stands between them.
            var blocked = starter >= 0 && write - 1 != starter && last >= mark;
            if (starter >= 0 && !blocked && Composed(points[starter], point) is { } composed)
            {
                points[starter] = composed;
                continue;
            }
            if (mark == 0) starter = write;
            last = mark;
            points[write++] = point;
        }
        points.RemoveRange(write, points.Count - write);
    }

    private static int? Composed(int first, int second)
    {
        if (first - LeadBase is >= 0 and < LeadCount and var lead && second - VowelBase is >= 0 and < VowelCount and var vowel)
            return HangulBase + (lead * VowelCount + vowel) * TailCount;
        if (first - HangulBase is >= 0 and < HangulCount and var syllable && syllable % TailCount == 0 && second - TailBase is > 0 and < TailCount and var tail)
            return HangulBase + syllable + tail;
        return _tables.Value.Compositions.TryGetValue((first, second), out var composed) ? composed : null;
    }

    private static int Class(int point) => point < 0x300 ? 0 : _tables.Value.Classes.GetValueOrDefault(point);

    private sealed record Tables(
        Dictionary<int, (int[] Parts, bool IsCanonical)> Decompositions, Dictionary<(int First, int Second), int> Compositions, Dictionary<int, int> Classes)
    {
        public static Tables Read()
        {
            var tables = new Tables([], [], []);
            using var stream = typeof(Tables).Assembly.GetManifestResourceStream("UnicodeDecompositions.txt")!;
            using var reader = new StreamReader(stream);
            while (reader.ReadLine() is { } line)
                if (!line.StartsWith('#')) tables.Add(line);
            return tables;
        }

        private void Add(string line)
        {
            var sign = line.AsSpan().IndexOfAny("=~!:");
            var (left, right) = (line[..sign], line[(sign + 1)..]);
            if (line[sign] == ':')
            {
                var range = left.Split('-');
                for (var point = Hex(range[0]); point <= Hex(range[1]); point++) Classes.Add(point, int.Parse(right, CultureInfo.InvariantCulture));
                return;
            }
            var parts = right.Split(' ').Select(Hex).ToArray();
            Decompositions.Add(Hex(left), (parts, line[sign] != '~'));
            if (line[sign] == '=') Compositions.Add((parts[0], parts[1]), Hex(left));
        }

        private static int Hex(string digits) => int.Parse(digits, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
    }
}

namespace AccelerateSharp.SelfTest;

/// <summary>What one part finds. A wrong value does not end the part: every rank takes part in all collectives that follow.</summary>
internal sealed class Findings
{
    private const int Most = 5;

    private readonly List<string> _problems = [];

    public IReadOnlyList<string> Problems => _problems;

    /// <summary>What was checked, in a few words.</summary>
    public string? Note { get; set; }

    public void Expect(bool condition, string problem)
    {
        if (!condition && _problems.Count < Most) _problems.Add(problem);
    }

    public void Close(double expected, double actual, double tolerance, string what) => Expect(
        Math.Abs(expected - actual) <= tolerance * Math.Max(1, Math.Abs(expected)), $"{what}: expected {expected:R}, got {actual:R}");

    public void Equal<T>(IEnumerable<T> expected, IEnumerable<T> actual, string what)
    {
        T[] left = [.. expected], right = [.. actual];
        Expect(left.SequenceEqual(right), $"{what}: expected {Shorten(left)}, got {Shorten(right)}");
    }

    private static string Shorten<T>(T[] values) => values.Length <= 8
        ? $"[{string.Join(", ", values)}]"
        : $"[{string.Join(", ", values[..8])}, …] ({values.Length})";
}

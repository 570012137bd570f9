using System.Globalization;

namespace AccelerateSharp.Cli.Launch;

/// <summary>How many machines a job runs on: the fewest it starts with, and the most it has room for.</summary>
internal readonly record struct MachineRange(int Min, int Max)
{
    public bool IsElastic => Min < Max;

    /// <summary>Reads <c>N</c> or <c>MIN:MAX</c>, torchrun's forms.</summary>
    public static MachineRange Parse(string option, string text)
    {
        var parts = text.Split(':');
        return parts.Length <= 2 && TryParse(parts[0], out var min) && TryParse(parts[^1], out var max) && min <= max
            ? new MachineRange(min, max)
            : throw new UserErrorException($"{option} {text} is neither a number of machines nor MIN:MAX, with MIN from 1 up to MAX.");

        static bool TryParse(string text, out int value) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value) && value > 0;
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{(IsElastic ? $"{Min} to " : "")}{Max}");
}

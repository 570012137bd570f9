using System.Globalization;

namespace AccelerateSharp.Launch;

/// <summary>Reads typed values from environment variables; a value that cannot be read is an error that names it.</summary>
/// <param name="lookup">How a variable is looked up; null for the environment of this process.</param>
internal sealed class EnvironmentReader(Func<string, string?>? lookup = null)
{
    private readonly Func<string, string?> _lookup = lookup ?? Environment.GetEnvironmentVariable;

    /// <summary>The variable's text, or null where it is unset or blank.</summary>
    public string? Text(string name) => _lookup(name) is { } text && !string.IsNullOrWhiteSpace(text) ? text.Trim() : null;

    /// <summary>The first of these variables that holds a number of at least zero (-1 means "not set", as it does for torchrun).</summary>
    public Number? FirstNumber(params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
        {
            // SLURM describes the job to the batch script as well, which is not one of its tasks.
            if (name.StartsWith("SLURM_", StringComparison.Ordinal) && Text(EnvironmentVariables.SlurmStepId) is null) continue;
            if (Text(name) is not { } text) continue;
            if (!int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value))
                throw new InvalidOperationException($"{name}={text} is not a whole number. Correct or unset {name}.");
            if (value >= 0) return new Number(name, value);
        }
        return null;
    }

    /// <summary>A switch: y, yes, t, true, on, 1 or n, no, f, false, off, 0, in any case.</summary>
    public bool Flag(string name, bool defaultValue = false) => Text(name) is { } text ? ParseFlag(name, text) : defaultValue;

    public static bool ParseFlag(string name, string text) => text.ToLowerInvariant() switch
    {
        "y" or "yes" or "t" or "true" or "on" or "1" => true,
        "n" or "no" or "f" or "false" or "off" or "0" => false,
        _ => throw new InvalidOperationException($"{name}={text} is neither true nor false. Use true or false."),
    };

    /// <summary>A number and the variable it was found in.</summary>
    public readonly record struct Number(string Name, int Value)
    {
        public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Name}={Value}");
    }
}

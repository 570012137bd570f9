using System.Globalization;
using AccelerateSharp.Cli.Launch.Decisions;

namespace AccelerateSharp.Cli.Launch;

/// <summary>A value and where it comes from.</summary>
/// <param name="Value">The value.</param>
/// <param name="Source">Where it comes from, as it stands in the line of decisions.</param>
/// <param name="Said">The setting as the user wrote it, for an error message.</param>
internal sealed record Setting<T>(T Value, string Source, string Said)
{
    /// <summary>Whether nobody said anything.</summary>
    public bool IsDefault { get; init; }

    public Decision As(string name) => new(name, Value is bool on ? on ? "true" : "false" : Convert.ToString(Value, CultureInfo.InvariantCulture) ?? "", Source);

    public override string ToString() => Said;
}

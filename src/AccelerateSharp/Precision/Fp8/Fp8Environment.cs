using System.Globalization;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>The <c>ACCELERATE_FP8_*</c> variables, as <c>accelerate launch</c> exports them from its configuration.</summary>
internal sealed class Fp8Environment(EnvironmentReader environment)
{
    private const string Prefix = "ACCELERATE_FP8_";

    /// <summary>The recipe by the name of its library, te, ao or msamp in any case; null where nobody chose.</summary>
    public FP8RecipeKwargs? Backend() => environment.Text($"{Prefix}BACKEND") switch
    {
        null => null,
        var text => text.ToUpperInvariant() switch
        {
            "TE" => new TERecipeKwargs(),
            "AO" => new AORecipeKwargs(),
            "MSAMP" => new MSAMPRecipeKwargs(),
            "NO" => null,
            _ => throw Wrong("BACKEND", text, "te, ao or msamp"),
        },
    };

    public Fp8Format? Format() => environment.Text($"{Prefix}FORMAT") switch
    {
        null => null,
        var text => text.ToUpperInvariant() switch
        {
            "HYBRID" => Fp8Format.Hybrid,
            "E4M3" => Fp8Format.E4M3,
            "E5M2" => throw new NotSupportedException($"{Prefix}FORMAT is E5M2, in which weights have 2 bits of mantissa: nothing trains with that. Use HYBRID, which has it for the gradients, or E4M3."),
            _ => throw Wrong("FORMAT", text, "HYBRID or E4M3"),
        },
    };

    public AmaxComputeAlgo? AmaxComputeAlgo() => Text("AMAX_COMPUTE_ALGO", "AMAX_COMPUTE_ALGORITHM") switch
    {
        null => null,
        var (name, text) => text.ToLowerInvariant() switch
        {
            "most_recent" => AccelerateSharp.AmaxComputeAlgo.MostRecent,
            "max" => AccelerateSharp.AmaxComputeAlgo.Max,
            _ => throw Wrong(name, text, "most_recent or max"),
        },
    };

    public MSAMPOptLevel? OptLevel() => Text("OPT_LEVEL", "OPTIMIZATION_LEVEL") switch
    {
        null => null,
        var (name, text) => Enum.TryParse<MSAMPOptLevel>(text, ignoreCase: true, out var level) && Enum.IsDefined(level) && !char.IsAsciiDigit(text[0])
            ? level
            : throw Wrong(name, text, "O1, O2 or O3"),
    };

    public bool? Flag(string name) => environment.Text(Prefix + name) is { } text ? EnvironmentReader.ParseFlag(Prefix + name, text) : null;

    /// <summary>The second name is what the reference's questionnaire writes.</summary>
    public int? Whole(string name, string? otherName = null) => Text(name, otherName) switch
    {
        null => null,
        var (found, text) => int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) ? value : throw Wrong(found, text, "a whole number"),
    };

    private (string Name, string Text)? Text(string name, string? otherName)
    {
        foreach (var candidate in new[] { name, otherName })
            if (candidate is not null && environment.Text(Prefix + candidate) is { } text) return (candidate, text);
        return null;
    }

    private static InvalidOperationException Wrong(string name, string text, string allowed) =>
        new($"{Prefix}{name} is '{text}'; it must be {allowed} (accelerate launch --fp8_{name.ToLowerInvariant()}).");
}

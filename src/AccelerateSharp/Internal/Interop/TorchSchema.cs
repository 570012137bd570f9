using System.Globalization;
using System.Text.RegularExpressions;

namespace AccelerateSharp.Internal.Interop;

/// <summary>The type of a parameter or a result in a schema, such as <c>Tensor?</c> or <c>int[]</c>.</summary>
internal readonly record struct TorchType(TorchKind Kind, bool IsList, bool IsOptional, bool HasOptionalElements)
{
    internal bool Accepts(in TorchArgument argument)
    {
        if (argument.Kind == TorchKind.None) return IsOptional;
        return argument.Kind == Kind && argument.IsList == IsList;
    }
}

/// <summary>A parameter of an operator. <see cref="Default"/> is null when the caller must give it.</summary>
internal sealed record TorchParameter(string Name, TorchType Type, string Text, TorchArgument? Default);

/// <summary>An operator's schema, in the words in which libtorch declares it.</summary>
/// <remarks>
/// libtorch does not check what lies on the stack that it is handed: a value too few or of another type is a crash, or worse. The
/// schema is therefore written where an operator is used, and every call is checked against it before anything is converted.
/// </remarks>
internal sealed partial class TorchSchema
{
    private TorchSchema(string name, string overload, TorchParameter[] parameters, TorchType[] results)
    {
        (Name, Overload, Parameters, Results) = (name, overload, parameters, results);
    }

    /// <summary>With the namespace, without the overload: <c>aten::mul</c>.</summary>
    internal string Name { get; }

    /// <summary>Empty for the default overload.</summary>
    internal string Overload { get; }

    /// <summary><c>aten::mul.Tensor</c>.</summary>
    internal string FullName => Overload.Length == 0 ? Name : $"{Name}.{Overload}";

    internal IReadOnlyList<TorchParameter> Parameters { get; }

    internal IReadOnlyList<TorchType> Results { get; }

    /// <exception cref="FormatException">Not a schema.</exception>
    /// <exception cref="NotSupportedException">libtorch's C interface cannot carry one of the types.</exception>
    internal static TorchSchema Parse(string text)
    {
        var match = Shape().Match(text);
        if (!match.Success) throw new FormatException($"'{text}' is not an operator schema: expected 'namespace::name.overload(Type name, …) -> Type'.");
        var name = match.Groups["name"].Value;
        TorchParameter[] parameters =
            [.. Split(match.Groups["parameters"].Value).Where(part => part != "*").Select(part => ParseParameter(name, part))];
        var results = match.Groups["results"].Value;
        if (results.StartsWith('(')) results = results[1..^1];
        return new TorchSchema(name, match.Groups["overload"].Value, parameters, [.. Split(results).Select(part => ParseType(name, part))]);
    }

    private static TorchParameter ParseParameter(string operatorName, string text)
    {
        var equals = text.IndexOf('=', StringComparison.Ordinal);
        var declaration = (equals < 0 ? text : text[..equals]).Trim();
        var space = declaration.LastIndexOf(' ');
        if (space < 0) throw new FormatException($"{operatorName}: '{text}' is not a parameter: expected 'Type name'.");
        var type = ParseType(operatorName, declaration[..space]);
        TorchArgument? value = equals < 0 ? default(TorchArgument?) : ParseDefault(operatorName, text[(equals + 1)..].Trim(), type);
        return new TorchParameter(declaration[(space + 1)..], type, declaration[..space], value);
    }

    private static TorchArgument ParseDefault(string operatorName, string text, TorchType type) => (text, type.Kind, type.IsList) switch
    {
        ("None", _, _) => TorchArgument.None,
        ("True" or "False", TorchKind.Bool, false) => text == "True",
        (_, TorchKind.Int, false) => long.Parse(text, CultureInfo.InvariantCulture),
        (_, TorchKind.Float, false) => double.Parse(text, CultureInfo.InvariantCulture),
        ("[]", TorchKind.Int, true) => Array.Empty<long>(),
        _ => throw new NotSupportedException($"{operatorName}: the default '{text}' is not supported; leave it out and pass the argument."),
    };

    private static TorchType ParseType(string operatorName, string text)
    {
        // What may be written to, and result names, say nothing about the representation.
        var match = TypeShape().Match(Alias().Replace(text, ""));
        var kind = match.Groups["kind"].Value switch
        {
            "Tensor" => TorchKind.Tensor,
            "int" or "SymInt" => TorchKind.Int,
            "float" => TorchKind.Float,
            "bool" => TorchKind.Bool,
            "ScalarType" => TorchKind.ScalarType,
            "str" => TorchKind.Str,
            "Device" => TorchKind.Device,
            // These can only be left out: their numbers differ between the C interface and libtorch.
            "Layout" or "MemoryFormat" or "Generator" => TorchKind.None,
            "Scalar" => throw new NotSupportedException($"{operatorName}: libtorch's C interface does not carry the type Scalar; use an overload that takes a Tensor."),
            _ => throw new NotSupportedException($"{operatorName}: the type '{text}' is not supported."),
        };
        var isList = match.Groups["list"].Success;
        var inner = match.Groups["inner"].Success;
        return new TorchType(kind, isList, isList ? match.Groups["outer"].Success : inner, isList && inner);
    }

    /// <summary>Splits at the commas that are not inside brackets.</summary>
    private static IEnumerable<string> Split(string text)
    {
        var (depth, start) = (0, 0);
        for (var i = 0; i <= text.Length; i++)
        {
            if (i < text.Length)
            {
                if (text[i] is '(' or '[') depth++;
                else if (text[i] is ')' or ']') depth--;
                if (text[i] != ',' || depth > 0) continue;
            }
            var part = text[start..i].Trim();
            if (part.Length > 0) yield return part;
            start = i + 1;
        }
    }

    [GeneratedRegex(@"^(?<name>\w+::\w+)(\.(?<overload>\w+))?\((?<parameters>.*)\)\s*->\s*(?<results>.+)$")]
    private static partial Regex Shape();

    [GeneratedRegex(@"^(?<kind>\w+)(?<inner>\?)?(?<list>\[\d*\])?(?<outer>\?)?(\s+\w+)?$")]
    private static partial Regex TypeShape();

    [GeneratedRegex(@"\([^)]*\)")]
    private static partial Regex Alias();
}

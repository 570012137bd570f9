using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>What a value is in an operator's schema.</summary>
internal enum TorchKind
{
    None,
    Tensor,
    Int,
    Float,
    Bool,
    ScalarType,
    Str,
    Device,
}

/// <summary>One argument of a <see cref="TorchOperator"/>; made by conversion from the value.</summary>
internal readonly struct TorchArgument
{
    private TorchArgument(TorchKind kind, object? reference, long bits, bool isList)
    {
        Kind = kind;
        Reference = reference;
        Bits = bits;
        IsList = isList;
    }

    /// <summary>No value: for an optional argument, or the first of an optional's tail that is left out.</summary>
    internal static TorchArgument None => default;

    internal TorchKind Kind { get; }

    internal bool IsList { get; }

    /// <summary>The tensor, the string, or the list.</summary>
    internal object? Reference { get; }

    /// <summary>The bits of a number.</summary>
    internal long Bits { get; }

    public static implicit operator TorchArgument(Tensor? value) => value is null ? default : new(TorchKind.Tensor, value, 0, isList: false);

    public static implicit operator TorchArgument(Tensor?[] value) => List(value);

    public static implicit operator TorchArgument(List<Tensor> value) => List(value);

    public static implicit operator TorchArgument(long value) => new(TorchKind.Int, null, value, isList: false);

    public static implicit operator TorchArgument(long[] value) => new(TorchKind.Int, value, 0, isList: true);

    public static implicit operator TorchArgument(double value) => new(TorchKind.Float, null, BitConverter.DoubleToInt64Bits(value), isList: false);

    public static implicit operator TorchArgument(double[] value) => new(TorchKind.Float, value, 0, isList: true);

    public static implicit operator TorchArgument(bool value) => new(TorchKind.Bool, null, value ? 1 : 0, isList: false);

    public static implicit operator TorchArgument(ScalarType value) => new(TorchKind.ScalarType, null, (long)value, isList: false);

    public static implicit operator TorchArgument(string? value) => value is null ? default : new(TorchKind.Str, value, 0, isList: false);

    /// <summary>A device as libtorch packs it: the index in the lower half, the type in the upper.</summary>
    public static implicit operator TorchArgument(Device value) =>
        new(TorchKind.Device, null, (uint)value.index | ((long)(byte)value.type << 32), isList: false);

    internal static TorchArgument List(IReadOnlyList<Tensor?> value) => new(TorchKind.Tensor, value, 0, isList: true);

    public override string ToString() => Kind switch
    {
        TorchKind.None => "None",
        _ => IsList ? $"{Kind}[]" : Kind.ToString(),
    };
}

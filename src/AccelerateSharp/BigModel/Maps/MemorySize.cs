using System.Globalization;

namespace AccelerateSharp;

/// <summary>An amount of memory, from a number of bytes or from text such as <c>"10GiB"</c>, <c>"1.5GB"</c>, <c>"800MB"</c>.</summary>
/// <param name="Bytes">The number of bytes; not negative.</param>
/// <remarks>KiB, MiB, GiB and TiB count in steps of 1024, KB, MB, GB and TB in steps of 1000. An upper-case last <c>B</c> is bytes, a lower-case one bits.</remarks>
public readonly record struct MemorySize(long Bytes)
{
    private static readonly (string Unit, double Bytes)[] _units =
    [
        ("KIB", 1L << 10), ("MIB", 1L << 20), ("GIB", 1L << 30), ("TIB", 1L << 40), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9), ("TB", 1e12),
    ];

    /// <summary>Bytes.</summary>
    public static implicit operator MemorySize(long bytes) => new(bytes);

    /// <inheritdoc cref="Parse"/>
    public static implicit operator MemorySize(string text) => Parse(text);

    /// <summary>Reads an amount of memory with its unit.</summary>
    /// <exception cref="ArgumentException">It is none.</exception>
    public static MemorySize Parse(string text)
    {
        foreach (var (unit, bytes) in _units)
        {
            if (!text.EndsWith(unit, StringComparison.OrdinalIgnoreCase)) continue;
            if (!double.TryParse(text.AsSpan(0, text.Length - unit.Length).Trim(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)) break;
            // Bits only where the unit is written as the reference tells them apart: 2Gb, not 2GiB.
            var amount = number * bytes;
            return new MemorySize((long)(text[^1] == 'b' ? Math.Floor(amount / 8) : amount));
        }
        throw new ArgumentException($"'{text}' is no amount of memory. Write for instance 10GiB, 1.5GB or 800MB, or a number of bytes.", nameof(text));
    }

    /// <summary>The number of bytes.</summary>
    public override string ToString() => Bytes.ToString(CultureInfo.InvariantCulture);
}

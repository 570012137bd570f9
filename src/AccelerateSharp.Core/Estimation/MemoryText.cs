using System.Globalization;

namespace AccelerateSharp.Estimation;

/// <summary>Numbers of bytes, read and written as the reference does.</summary>
internal static class MemoryText
{
    private static readonly string[] _units = ["bytes", "KB", "MB", "GB", "TB"];

    /// <summary>Steps of 1024 and at most two decimals: <c>413.18 MB</c>, <c>1.0 KB</c>.</summary>
    public static string Format(double bytes)
    {
        foreach (var unit in _units)
        {
            if (bytes < 1024) return Number(bytes) + " " + unit;
            bytes /= 1024;
        }
        return Number(bytes) + " PB";
    }

    /// <summary>
    /// An amount of memory: <c>80GiB</c> (or MiB, TiB) counts in steps of 1024, <c>80GB</c> in steps of 1000, and a number alone is GiB.
    /// </summary>
    /// <exception cref="EstimationException">It is none.</exception>
    public static long Parse(string text)
    {
        var trimmed = text.Trim();
        var end = trimmed.AsSpan().LastIndexOfAnyInRange('0', '9') + 1;
        double? unit = trimmed[end..].Trim().ToUpperInvariant() switch
        {
            "" or "GIB" => 1L << 30,
            "TIB" => 1L << 40,
            "MIB" => 1L << 20,
            "TB" => 1e12,
            "GB" => 1e9,
            "MB" => 1e6,
            _ => null,
        };
        return unit is { } factor && double.TryParse(trimmed.AsSpan(0, end), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)
            && number * factor is > 0 and < 1e18
            ? (long)(number * factor)
            : throw new EstimationException($"'{text}' is no amount of memory. Write for instance 80GiB, 80GB or 80 (GiB).");
    }

    private static string Number(double value) => Math.Round(value, 2).ToString("0.0#", CultureInfo.InvariantCulture);
}

using System.Text;

namespace AccelerateSharp.Rendezvous;

/// <summary>What a store accepts.</summary>
internal static class StoreLimits
{
    /// <summary>The longest key, in bytes of UTF-8.</summary>
    public const int MaxKeyBytes = 512;

    /// <summary>The largest value, in bytes.</summary>
    public const int MaxValueBytes = 16 * 1024 * 1024;

    private static readonly UTF8Encoding _strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    public static void CheckKey(string key)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        if (key.Length > MaxKeyBytes || _strict.GetByteCount(key) > MaxKeyBytes)
            throw new ArgumentException($"The key '{key[..Math.Min(64, key.Length)]}…' is longer than {MaxKeyBytes} bytes.", nameof(key));
    }

    public static void CheckValue(byte[] value)
    {
        ArgumentNullException.ThrowIfNull(value);
        if (value.Length > MaxValueBytes)
            throw new ArgumentException($"A value of {value.Length} bytes is over the store's limit of {MaxValueBytes} bytes.", nameof(value));
    }
}

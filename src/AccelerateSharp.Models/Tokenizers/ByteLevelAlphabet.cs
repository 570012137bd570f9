using System.Text;

namespace AccelerateSharp.Models.Tokenizers;

/// <summary>GPT-2's alphabet: each of the 256 bytes as a printable character, so that a vocabulary of bytes is a vocabulary of texts.</summary>
internal static class ByteLevelAlphabet
{
    private static readonly char[] _characters = Characters();
    private static readonly Dictionary<char, byte> _bytes = _characters.Select((c, b) => (c, b)).ToDictionary(p => p.c, p => (byte)p.b);

    public static string Encode(string text) =>
        string.Create(Encoding.UTF8.GetByteCount(text), text, static (characters, source) =>
        {
            var at = 0;
            Span<byte> bytes = stackalloc byte[4];
            foreach (var rune in source.EnumerateRunes())
                foreach (var value in bytes[..rune.EncodeToUtf8(bytes)]) characters[at++] = _characters[value];
        });

    /// <summary>The bytes of a token; one that has other characters (an added token) gives its own UTF-8.</summary>
    public static byte[] Decode(string token)
    {
        var bytes = new byte[token.Length];
        for (var i = 0; i < token.Length; i++)
            if (!_bytes.TryGetValue(token[i], out bytes[i])) return Encoding.UTF8.GetBytes(token);
        return bytes;
    }

    private static char[] Characters()
    {
        var characters = new char[256];
        var next = 256;
        for (var value = 0; value < 256; value++)
            characters[value] = value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF) ? (char)value : (char)next++;
        return characters;
    }
}

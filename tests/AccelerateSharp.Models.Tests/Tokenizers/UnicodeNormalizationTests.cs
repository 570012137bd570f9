using System.Security.Cryptography;
using System.Text;
using AccelerateSharp.Models.Tokenizers;

namespace AccelerateSharp.Models.Tests.Tokenizers;

public sealed class UnicodeNormalizationTests
{
    /// <summary>Every character of the first three planes with marks around it, as a hash; the expected ones are Python's (unicodedata, Unicode 14).</summary>
    [Theory]
    [InlineData(nameof(UnicodeForm.C), "684f670d758967f35ad9dc54c757dff96468224566538abe365106d4431348eb")]
    [InlineData(nameof(UnicodeForm.D), "62ea47bc0c6219701a8f14f994c707d36a41f0b4e33783d0bea1e8032ec5d8df")]
    [InlineData(nameof(UnicodeForm.KC), "582f567d016cc9777c9bd4d124aae813cbf27ffb26f935ebcdbdb57663adff70")]
    [InlineData(nameof(UnicodeForm.KD), "8c411e76f1d110fe2d083287ae10742464bf4becb573d07b693104e103d6cfb9")]
    public void Every_character_is_normalized_as_Unicode_says(string form, string expected)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var kind = Enum.Parse<UnicodeForm>(form);
        for (var point = 0; point < 0x30000; point++)
        {
            if (point is >= 0xD800 and < 0xE000) continue;
            var c = new Rune(point).ToString();
            hash.AppendData(Encoding.UTF8.GetBytes(UnicodeNormalization.Apply($"a{c}\u0323\u0301{c}\u11A8", kind)));
        }
        Assert.Equal(expected, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    [Theory]
    [InlineData("Cafe\u0301", "Caf\u00E9", "Cafe\u0301")]
    [InlineData("\u1100\u1161\u11A8", "\uAC01", "\u1100\u1161\u11A8")]
    [InlineData("\u212B", "\u00C5", "A\u030A")]
    public void Letters_and_their_marks_are_put_together_and_apart(string text, string together, string apart)
    {
        Assert.Equal(together, UnicodeNormalization.Apply(text, UnicodeForm.C));
        Assert.Equal(apart, UnicodeNormalization.Apply(text, UnicodeForm.D));
    }
}

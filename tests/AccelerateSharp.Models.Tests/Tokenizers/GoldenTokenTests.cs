using System.Text.Json;
using AccelerateSharp.Models.Tokenizers;

namespace AccelerateSharp.Models.Tests.Tokenizers;

/// <summary>The published vocabularies, and the components of tokenizer.json, against what the Hub's own library makes of them (golden.json).</summary>
public sealed class GoldenTokenTests
{
    private static readonly JsonElement _cases = Read("cases.json");
    private static readonly JsonElement _golden = Read("golden.json");
    private static readonly string[] _texts = _cases.GetProperty("texts").Deserialize<string[]>()!;

    public static TheoryData<string> Cases => [.. _cases.GetProperty("cases").EnumerateObject().Select(c => c.Name)];

    private static JsonElement Read(string name) => JsonDocument.Parse(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Tokenizers", name))).RootElement;

    private static TokenizerNode Spec(JsonElement spec) => new(spec, "spec", "");

    [Theory]
    [MemberData(nameof(Cases))]
    public void Tokens_and_texts_are_those_of_the_Hubs_library(string name)
    {
        var test = _cases.GetProperty("cases").GetProperty(name);
        var tokenizer = Vocabularies.Load(test.GetProperty("tokenizer"), test.GetProperty("vocabulary").GetString()!);
        var (ids, decoded) = (_golden.GetProperty("encodings").GetProperty(name), _golden.GetProperty("decoded").GetProperty(name));
        Assert.All(_texts.Index(), entry =>
        {
            var actual = tokenizer.Encode(entry.Item, addSpecialTokens: false).Ids;
            Assert.Equal(ids[entry.Index].Deserialize<int[]>(), actual);
            Assert.Equal(decoded[entry.Index].GetString(), tokenizer.Decode(actual, skipSpecialTokens: true));
        });

        var pairs = _cases.GetProperty("pairs").Deserialize<string[][]>()!;
        foreach (var (i, expected) in _golden.GetProperty("pairs").GetProperty(name).EnumerateArray().Index())
        {
            var actual = tokenizer.Encode(pairs[i][0], pairs[i][1]);
            Assert.Equal(expected.GetProperty("ids").Deserialize<int[]>(), actual.Ids);
            Assert.Equal(expected.GetProperty("types").Deserialize<int[]>(), actual.TypeIds);
        }
        foreach (var (truncation, expected) in _cases.GetProperty("truncations").Deserialize<int[][]>()!.Zip(_golden.GetProperty("truncations").GetProperty(name).EnumerateArray()))
            Assert.Equal(expected.Deserialize<int[]>(), tokenizer.Encode(pairs[truncation[0]][0], pairs[truncation[0]][1], maxLength: truncation[1]).Ids);
    }

    [Fact]
    public void Each_pre_tokenizer_cuts_where_the_Hubs_library_cuts() =>
        Assert.All(_cases.GetProperty("pre_tokenizers").EnumerateArray().Zip(_golden.GetProperty("pre_tokenizers").EnumerateArray()), entry =>
        {
            var split = PreTokenizers.Read(Spec(entry.First));
            foreach (var (i, text) in _texts.Index()) Assert.Equal(entry.Second[i].Deserialize<string[]>(), split(new Piece(text, true)).Select(piece => piece.Text));
        });

    [Fact]
    public void Each_normalizer_gives_the_text_of_the_Hubs_library() =>
        Assert.All(_cases.GetProperty("normalizers").EnumerateArray().Zip(_golden.GetProperty("normalizers").EnumerateArray()), entry =>
        {
            var normalize = TextNormalizers.Read(Spec(entry.First));
            foreach (var (i, text) in _texts.Index()) Assert.Equal(entry.Second[i].GetString(), normalize(text));
        });
}

using AccelerateSharp.Models.Tokenizers;

namespace AccelerateSharp.Models.Tests.Tokenizers;

/// <summary>What is not understood is refused by its name, and what is damaged is named with its file.</summary>
public sealed class TokenizerRefusalTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private PretrainedTokenizer Load(string json) => PretrainedTokenizer.FromPretrained(_folder.Write("tokenizer.json", json).Path);

    [Theory]
    [InlineData("\"decoder\": { \"type\": \"ByteLevel\" },", "\"decoder\": { \"type\": \"CTC\" },", "decoder: the decoder \"CTC\"")]
    [InlineData("\"use_regex\": true", "\"use_regex\": true, \"new_setting\": 1", "pre_tokenizer: the setting \"new_setting\"")]
    [InlineData("\"type\": \"ByteLevel\", \"add_prefix_space\"", "\"type\": \"UnicodeScripts\", \"add_prefix_space\"", "the pre-tokenizer \"UnicodeScripts\"")]
    [InlineData("\"type\":\"BPE\"", "\"type\":\"Unigram\"", "model: the model \"Unigram\"")]
    [InlineData("\"type\":\"BPE\"", "\"type\":\"BPE\",\"dropout\":0.1", "\"dropout\"")]
    [InlineData("\"version\"", "\"normalizer\": { \"type\": \"Sequence\", \"normalizers\": [{ \"type\": \"NFC\" }, { \"type\": \"Precompiled\" }] }, \"version\"", "normalizer.normalizers[1]: the normalizer \"Precompiled\"")]
    [InlineData("\"version\"", "\"post_processor\": { \"type\": \"Sequence\", \"processors\": [{ \"type\": \"Mystery\" }] }, \"version\"", "the post-processor \"Mystery\"")]
    [InlineData("\"special\": true,", "\"special\": true, \"greedy\": true,", "added_tokens[0]: the setting \"greedy\"")]
    public void A_feature_that_is_not_known_is_refused_by_name(string part, string changed, string named)
    {
        var json = Vocabularies.ByteLevelJson();
        Assert.Contains(part, json, StringComparison.Ordinal);
        var message = Assert.Throws<NotSupportedException>(() => Load(json.Replace(part, changed, StringComparison.Ordinal))).Message;
        Assert.Contains(named, message, StringComparison.Ordinal);
        Assert.StartsWith(_folder.Path, message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(@"a++b", "possessive")]
    [InlineData(@"\p{Han}+", "Han")]
    [InlineData(@"[a[b]]", "class inside a class")]
    [InlineData(@"[a&&b]", "intersection")]
    [InlineData(@"\bword", @"\b")]
    [InlineData(@"(unclosed", "(unclosed")]
    public void A_pattern_that_means_something_else_in_DotNet_is_refused(string pattern, string named) =>
        Assert.Contains(named, Assert.Throws<NotSupportedException>(() => HubRegex.Compile(pattern, new TokenizerNode(default, "f", "p"))).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("not json", "tokenizer.json is no valid JSON")]
    [InlineData("{}", "\"model\" is missing")]
    [InlineData("[]", "an object is expected")]
    [InlineData("{ \"model\": { \"type\": \"BPE\", \"vocab\": { \"a\": 0 }, \"merges\": [\"a b\"] } }", "vocabulary and merges do not fit together")]
    [InlineData("{ \"model\": { \"type\": \"BPE\", \"vocab\": { \"a\": \"x\" }, \"merges\": [] } }", "the id of \"a\"")]
    [InlineData("{ \"model\": { \"type\": \"BPE\", \"vocab\": {}, \"merges\": [] } }", "the vocabulary is empty")]
    [InlineData("{ \"model\": { \"type\": \"BPE\", \"vocab\": { \"a\": 0 }, \"merges\": [3] } }", "merges[0]")]
    [InlineData("{ \"model\": { \"type\": \"BPE\", \"byte_fallback\": true, \"vocab\": { \"a\": 0 }, \"merges\": [] } }", "<0x00>")]
    [InlineData("{ \"model\": { \"type\": \"WordPiece\", \"vocab\": { \"a\": 0 } } }", "[UNK]")]
    [InlineData("{ \"post_processor\": { \"type\": \"TemplateProcessing\", \"single\": [{ \"SpecialToken\": { \"id\": \"<x>\", \"type_id\": 0 } }], \"pair\": [] }, \"model\": { \"type\": \"BPE\", \"vocab\": { \"a\": 0 }, \"merges\": [] } }", "<x>")]
    public void A_damaged_file_is_named_with_what_is_wrong(string json, string problem)
    {
        var message = Assert.ThrowsAny<Exception>(() => Load(json)).Message;
        Assert.Contains(problem, message, StringComparison.Ordinal);
        Assert.Contains(_folder.Path, message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_without_tokenizer_says_what_was_looked_for()
    {
        Assert.Contains("vocab.txt", Assert.Throws<FileNotFoundException>(() => PretrainedTokenizer.FromPretrained(_folder.Path)).Message, StringComparison.Ordinal);
        _folder.Write("tokenizer.model", "");
        Assert.Contains("tokenizer.model alone", Assert.Throws<FileNotFoundException>(() => PretrainedTokenizer.FromPretrained(_folder.Path)).Message, StringComparison.Ordinal);
        Assert.Throws<DirectoryNotFoundException>(() => PretrainedTokenizer.FromPretrained(Path.Combine(_folder.Path, "nowhere")));
        _folder.Write("vocab.json", """{ "a": 0 }""").Write("merges.txt", "#version: 0.2\na\n");
        Assert.Contains("line 2", Assert.Throws<InvalidDataException>(() => PretrainedTokenizer.FromPretrained(_folder.Path)).Message, StringComparison.Ordinal);
        _folder.Write("merges.txt", "").Write("config.json", """{ "model_type": "clip" }""");
        Assert.Contains("\"clip\"", Assert.Throws<NotSupportedException>(() => PretrainedTokenizer.FromPretrained(_folder.Path)).Message, StringComparison.Ordinal);
        _folder.Write("vocab.txt", "a\nb\n");
        Assert.Contains("[UNK]", Assert.Throws<InvalidDataException>(() => PretrainedTokenizer.FromPretrained(_folder.Path)).Message, StringComparison.Ordinal);
    }
}

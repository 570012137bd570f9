using AccelerateSharp.Models.Tokenizers;
using CsCheck;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests.Tokenizers;

public sealed class PretrainedTokenizerTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly TemporaryFolder _folder = new();

    public void Dispose()
    {
        _folder.Dispose();
        _scope.Dispose();
    }

    private PretrainedTokenizer ByteLevel(params string[] merges) => PretrainedTokenizer.FromPretrained(_folder.Write("tokenizer.json", Vocabularies.ByteLevelJson(merges)).Path);

    private PretrainedTokenizer Bert(string config = "{}") => PretrainedTokenizer.FromPretrained(
        _folder.Write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\nphone\n##s\n.\nit\nbroke\nGood\n").Write("tokenizer_config.json", config).Path);

    [Fact]
    public void Published_vocabularies_give_the_ids_that_everybody_knows()
    {
        var gpt2 = PretrainedTokenizer.FromPretrained(Vocabularies.Folder("gpt2"));
        Assert.Equal([15496, 11, 995, 0], gpt2.Encode("Hello, world!").Ids);
        Assert.Equal(50256, gpt2.EosTokenId);
        Assert.Equal(50257, gpt2.VocabularySize);

        var bert = PretrainedTokenizer.FromPretrained(Vocabularies.Folder("bert-base-uncased"));
        Assert.Equal([101, 7592, 1010, 2088, 999, 102], bert.Encode("Hello, world!").Ids);
        Assert.Equal((0, 100, 101, 102, 103), (bert.PadTokenId, bert.UnkTokenId, bert.ClsTokenId, bert.SepTokenId, bert.MaskTokenId));
        Assert.Equal([101, 2129, 2024, 2017, 102, 1045, 2572, 2986, 102], bert.Encode("How are you", "I am fine").Ids);
        Assert.Equal([0, 0, 0, 0, 0, 1, 1, 1, 1], bert.Encode("How are you", "I am fine").TypeIds);
        Assert.Equal("hello, world!", bert.Decode(bert.Encode("Hello, world!").Ids, skipSpecialTokens: true));

        var mistral = PretrainedTokenizer.FromPretrained(Vocabularies.Folder("mistral"));
        Assert.Equal([1, 22557, 28725, 1526, 28808], mistral.Encode("Hello, world!").Ids);
        // A character outside of the vocabulary as its four bytes.
        Assert.Equal([28705, 3 + 0xF0, 3 + 0x9F, 3 + 0xA6, 3 + 0x99], mistral.Encode("\U0001F999", addSpecialTokens: false).Ids);
        Assert.Equal("a \U0001F999", mistral.Decode(mistral.Encode("a \U0001F999").Ids, skipSpecialTokens: true));
    }

    [Fact]
    public void A_batch_is_padded_at_the_side_that_is_asked_for_and_masked()
    {
        var tokenizer = Bert();
        using var right = tokenizer.EncodeBatch(["Good phones.", "It broke"]);
        Assert.Equal([2, 6], right.InputIds.shape);
        Assert.Equal([2, 5, 6, 7, 8, 3, 2, 9, 10, 3, 0, 0], right.InputIds.data<long>());
        Assert.Equal([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0], right.AttentionMask.data<long>());
        tokenizer.PaddingSide = TokenizerSide.Left;
        using var left = tokenizer.EncodeBatch(["good phones", "it"], ["it", "broke"], padToMultipleOf: 8);
        Assert.Equal([0, 2, 5, 6, 7, 3, 9, 3, 0, 0, 0, 2, 9, 3, 10, 3], left.InputIds.data<long>());
        Assert.Equal([0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1], left.TokenTypeIds.data<long>());
        Assert.Equal([0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1], left.AttentionMask.data<long>());
        using var whole = tokenizer.EncodeBatch(["it"], maxLength: 5, padToMaxLength: true);
        Assert.Equal([0, 0, 2, 9, 3], whole.InputIds.data<long>());
        Assert.Equal("[CLS] it [SEP]", tokenizer.Decode(whole.InputIds[0, 2..]));
    }

    [Fact]
    public void Truncation_counts_special_tokens_and_cuts_at_the_side_that_is_asked_for()
    {
        var tokenizer = Bert("""{ "model_max_length": 4, "truncation_side": "left" }""");
        Assert.Equal(4, tokenizer.ModelMaxLength);
        Assert.Equal([2, 7, 8, 3], tokenizer.Encode("good phones.", maxLength: tokenizer.ModelMaxLength).Ids);
        tokenizer.TruncationSide = TokenizerSide.Right;
        Assert.Equal([2, 5, 6, 3], tokenizer.Encode("good phones.", maxLength: 4).Ids);
        Assert.Equal([5, 6, 7, 8], tokenizer.Encode("good phones.", addSpecialTokens: false, maxLength: 4).Ids);
        Assert.Contains("maxLength", Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.Encode("good", maxLength: 1)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Settings_of_tokenizer_config_go_before_the_class()
    {
        Assert.Equal([11], Bert("""{ "do_lower_case": false }""").Encode("Good", addSpecialTokens: false).Ids);
        Assert.Equal([5], Bert().Encode("Good", addSpecialTokens: false).Ids);
        // One added token of the config, with the text around it left alone.
        var added = Bert("""{ "added_tokens_decoder": { "20": { "content": "<new>", "special": true, "normalized": false } }, "pad_token": "<new>" }""");
        Assert.Equal([9, 20, 10], added.Encode("it<new>broke", addSpecialTokens: false).Ids);
        Assert.Equal((20, 21), (added.PadTokenId, added.VocabularySize));
        Assert.Equal("it broke", added.Decode([9, 20, 10], skipSpecialTokens: true));
    }

    [Fact]
    public void Without_a_pad_token_a_ragged_batch_says_what_to_set()
    {
        var tokenizer = ByteLevel();
        Assert.Contains("PadToken", Assert.Throws<InvalidOperationException>(() => tokenizer.EncodeBatch(["a", "ab"])).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => tokenizer.PadToken = "nothing");
        tokenizer.PadToken = "<|end|>";
        Assert.Equal([97, 1000, 97, 98], tokenizer.EncodeBatch(["a", "ab"]).InputIds.data<long>());
    }

    [Fact]
    public void Numbers_beyond_the_vocabulary_are_left_out_and_negative_ones_refused()
    {
        var tokenizer = Bert();
        Assert.Equal("it broke", tokenizer.Decode([9, 30_000, 10]));
        Assert.Equal("", tokenizer.Decode(Array.Empty<int>()));
        Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.Decode([9, -100]));
        Assert.Equal([0, 0], tokenizer.EncodeBatch([]).InputIds.shape);
    }

    [Fact]
    public void Saved_and_read_again_it_is_the_same_tokenizer()
    {
        using var copy = new TemporaryFolder();
        var tokenizer = Bert("""{ "do_lower_case": false }""");
        tokenizer.SavePretrained(copy.Path);
        Assert.Equal(tokenizer.Encode("Good phones").Ids, PretrainedTokenizer.FromPretrained(copy.Path).Encode("Good phones").Ids);
    }

    [Fact]
    public void Any_text_comes_back_from_bytes()
    {
        var tokenizer = ByteLevel("t h", "th e", "Ġ the", "Ã ©");
        Gen.OneOf(Gen.String, Gen.String[Gen.Char["the é\n\t"], 0, 40], Gen.String[Gen.Char["\uD83D\uDE42ab "], 0, 12]).Sample(text =>
        {
            var ids = tokenizer.Encode(text).Ids;
            Assert.Equal(System.Text.Encoding.UTF8.GetString(System.Text.Encoding.UTF8.GetBytes(text)), tokenizer.Decode(ids));
        }, iter: 2000);
    }

    /// <summary>Against the definition: of all pairs the one with the lowest rank is merged, from left to right, until none is left.</summary>
    [Fact]
    public void Merges_are_those_of_the_definition()
    {
        Gen.Select(Gen.Int[0, 5].Array[12], Gen.String[Gen.Char["abc"], 1, 24]).Sample((seeds, text) =>
        {
            var (vocabulary, merges) = (new List<string> { "a", "b", "c" }, new List<string>());
            foreach (var pair in seeds.Chunk(2))
            {
                var (left, right) = (vocabulary[pair[0] % vocabulary.Count], vocabulary[pair[1] % vocabulary.Count]);
                if (vocabulary.Contains(left + right)) continue;
                vocabulary.Add(left + right);
                merges.Add($"{left} {right}");
            }
            var model = new BpeModel(vocabulary.Index().ToDictionary(v => v.Item, v => v.Index), merges, new BpeSettings(), default);
            var ids = new List<int>();
            model.Encode(text, ids);

            var parts = text.Select(c => c.ToString()).ToList();
            foreach (var merge in Repeatedly(() => merges.FirstOrDefault(m => Pairs(parts).Contains(m))))
                for (var i = 0; i + 1 < parts.Count; i++)
                    if ($"{parts[i]} {parts[i + 1]}" == merge)
                    {
                        parts[i] += parts[i + 1];
                        parts.RemoveAt(i + 1);
                    }
            Assert.Equal(parts, ids.Select(id => vocabulary[id]));
        }, iter: 2000);

        static IEnumerable<string> Pairs(List<string> parts) => parts.Zip(parts.Skip(1), (a, b) => $"{a} {b}");

        static IEnumerable<string> Repeatedly(Func<string?> next)
        {
            while (next() is { } value) yield return value;
        }
    }

    [Fact]
    public void A_long_text_without_pre_tokenizer_takes_no_square_of_time()
    {
        var mistral = PretrainedTokenizer.FromPretrained(Vocabularies.Folder("mistral"));
        var words = string.Concat(Enumerable.Repeat("so it goes on and on; ", 20_000));
        var ids = mistral.Encode(words).Ids;
        Assert.Equal(words, mistral.Decode(ids, skipSpecialTokens: true));
        Assert.Equal(ids.Skip(1).Take(8), mistral.Encode("so it goes on and on; so", addSpecialTokens: false).Ids.Take(8));
    }
}

using System.Runtime.CompilerServices;
using System.Text;
using AccelerateSharp.Models.Tokenizers;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>A tokenizer as the Hub stores it beside a model: text to tokens, and back.</summary>
/// <remarks>
/// <para>
/// Reads <c>tokenizer.json</c>; else <c>vocab.txt</c> (BERT), or <c>vocab.json</c> with <c>merges.txt</c> (GPT-2, RoBERTa); and the settings in
/// <c>tokenizer_config.json</c> and <c>special_tokens_map.json</c>. BPE merges and WordPiece are Microsoft.ML.Tokenizers'. A component or
/// setting of a <c>tokenizer.json</c> that is not known is refused by its name.
/// </para>
/// <para>Encoding and decoding may be called from several threads at once.</para>
/// </remarks>
/// <example><code>
/// var tokenizer = PretrainedTokenizer.FromPretrained("models/bert-base-uncased");
/// using var batch = tokenizer.EncodeBatch(["A good phone.", "It broke."], maxLength: 128);
/// </code></example>
public sealed partial class PretrainedTokenizer
{
    private readonly string _folder;
    private readonly TokenizerPipeline _pipeline;
    private readonly TokenizerConfig _config;
    private readonly Dictionary<int, string> _tokens;
    private readonly bool _cleansUp;

    private PretrainedTokenizer(string folder)
    {
        _folder = folder;
        (_pipeline, _config) = TokenizerFiles.Read(folder);
        _tokens = _pipeline.Model.Vocabulary.ToDictionary(entry => entry.Value, entry => entry.Key);
        foreach (var token in _pipeline.AddedTokens.All) _tokens[token.Id] = token.Content;
        _cleansUp = _config.Settings.Flag("clean_up_tokenization_spaces", false);
        ModelMaxLength = _config.ModelMaxLength;
        PaddingSide = Side("padding_side");
        TruncationSide = Side("truncation_side");
        ReadSpecialTokens();
    }

    /// <summary>How many tokens there are, added ones included; the embedding needs at least that many rows.</summary>
    public int VocabularySize => _tokens.Keys.Max() + 1;

    /// <summary>The longest input that the model was made for, special tokens included; null where the files set no limit. Applied only when asked for.</summary>
    public int? ModelMaxLength { get; }

    /// <summary>The end at which a batch is filled up; the end of the text unless the files say otherwise.</summary>
    public TokenizerSide PaddingSide { get; set; }

    /// <summary>The end that is cut off a text that is too long; the end of the text unless the files say otherwise.</summary>
    public TokenizerSide TruncationSide { get; set; }

    /// <summary>Reads the tokenizer of a model's folder.</summary>
    /// <exception cref="FileNotFoundException">The folder holds no tokenizer that can be read.</exception>
    /// <exception cref="InvalidDataException">A file is damaged or contradicts itself; the message names it and the key.</exception>
    /// <exception cref="NotSupportedException">A file asks for something that this reader does not do; the message names it.</exception>
    public static PretrainedTokenizer FromPretrained(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        return new PretrainedTokenizer(Path.GetFullPath(folder));
    }

    /// <summary>Copies the tokenizer's files, so that the folder of a trained model is complete.</summary>
    /// <param name="folder">Made if it is not there.</param>
    public void SavePretrained(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        Directory.CreateDirectory(folder);
        if (Path.GetFullPath(folder) == _folder) return;
        foreach (var name in TokenizerFiles.All)
            if (File.Exists(Path.Combine(_folder, name))) File.Copy(Path.Combine(_folder, name), Path.Combine(folder, name), overwrite: true);
    }

    /// <summary>The tokens of a text or of a pair.</summary>
    /// <param name="text">The text; halves of surrogate pairs become U+FFFD.</param>
    /// <param name="pair">A second text, such as the hypothesis that follows a premise.</param>
    /// <param name="addSpecialTokens">Whether the model's own marks ([CLS], &lt;s&gt;, …) are added. Those in the text are always recognised.</param>
    /// <param name="maxLength">Truncates to that many tokens, special ones included; of a pair the longer text gives way first.</param>
    /// <exception cref="ArgumentOutOfRangeException">The special tokens alone are longer than <paramref name="maxLength"/>.</exception>
    public TokenizedText Encode(string text, string? pair = null, bool addSpecialTokens = true, int? maxLength = null)
    {
        ArgumentNullException.ThrowIfNull(text);
        var first = _pipeline.Encode(WellFormed(text));
        var second = pair is null ? null : _pipeline.Encode(WellFormed(pair));
        if (maxLength is { } limit) Truncate(first, second, limit, addSpecialTokens ? _pipeline.Template.CountSpecial(pair is not null) : 0);
        var (ids, types) = _pipeline.Template.Apply(first, second, addSpecialTokens);
        return new TokenizedText(ids, types);
    }

    /// <summary>The tokens of several texts as tensors.</summary>
    /// <param name="texts">The texts.</param>
    /// <param name="pairs">A second text for each.</param>
    /// <param name="addSpecialTokens">As in <see cref="Encode"/>.</param>
    /// <param name="maxLength">Truncates to that many tokens, special ones included.</param>
    /// <param name="padToMaxLength">Pads to <paramref name="maxLength"/> instead of to the longest text of the batch.</param>
    /// <param name="padToMultipleOf">Rounds the padded length up to a multiple of this; matrix units like 8 or 64.</param>
    /// <exception cref="InvalidOperationException">The texts differ in length and there is no pad token: set <see cref="PadToken"/>.</exception>
    public TokenizedBatch EncodeBatch(
        IReadOnlyList<string> texts, IReadOnlyList<string>? pairs = null, bool addSpecialTokens = true, int? maxLength = null,
        bool padToMaxLength = false, int padToMultipleOf = 1)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentOutOfRangeException.ThrowIfLessThan(padToMultipleOf, 1);
        if (pairs is not null && pairs.Count != texts.Count) throw new ArgumentException($"There are {texts.Count} texts and {pairs.Count} second texts.", nameof(pairs));
        if (padToMaxLength && maxLength is null) throw new ArgumentException("Padding to a greatest length needs that length.", nameof(maxLength));
        var rows = texts.Select((text, i) => Encode(text, pairs?[i], addSpecialTokens, maxLength)).ToList();

        var length = padToMaxLength ? maxLength!.Value : rows.Count == 0 ? 0 : rows.Max(row => row.Ids.Count);
        length = (length + padToMultipleOf - 1) / padToMultipleOf * padToMultipleOf;
        var (ids, mask, types) = (new long[rows.Count * length], new long[rows.Count * length], new long[rows.Count * length]);
        if (rows.Any(row => row.Ids.Count < length))
            Array.Fill(ids, PadTokenId ?? throw new InvalidOperationException(
                "Texts of different length make no batch without padding, and this tokenizer has no pad token. Set PadToken, for a decoder to its EosToken for instance."));
        foreach (var (i, row) in rows.Index())
        {
            var start = i * length + (PaddingSide == TokenizerSide.Left ? length - row.Ids.Count : 0);
            for (var j = 0; j < row.Ids.Count; j++) (ids[start + j], mask[start + j], types[start + j]) = (row.Ids[j], 1, row.TypeIds[j]);
        }
        long[] shape = [rows.Count, length];
        return new TokenizedBatch(tensor(ids, shape), tensor(mask, shape), tensor(types, shape));
    }

    /// <summary>The text of tokens.</summary>
    /// <param name="ids">Their numbers. One beyond the vocabulary is left out, as in the reference: embeddings are often padded to a round size, and a model may draw from there.</param>
    /// <param name="skipSpecialTokens">Whether special tokens are left out.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is negative, such as the -100 of labels.</exception>
    // TorchSharp turns an array into a tensor where one is asked for: without this, int[] would fit both.
    [OverloadResolutionPriority(1)]
    public string Decode(IEnumerable<int> ids, bool skipSpecialTokens = false)
    {
        ArgumentNullException.ThrowIfNull(ids);
        var text = _pipeline.Decode(ids
            .Where(id => !skipSpecialTokens || _pipeline.AddedTokens.Find(id) is not { IsSpecial: true })
            .Select(id => id >= 0 ? _tokens.GetValueOrDefault(id) : throw new ArgumentOutOfRangeException(nameof(ids), id, "No token has a negative number."))
            .OfType<string>());
        return _cleansUp ? TokenDecoders.CleanUp(text) : text;
    }

    /// <summary>The text of tokens.</summary>
    /// <param name="ids">Their numbers: an integer tensor of shape [time], on any device.</param>
    /// <param name="skipSpecialTokens">Whether special tokens are left out.</param>
    public string Decode(Tensor ids, bool skipSpecialTokens = false)
    {
        ArgumentNullException.ThrowIfNull(ids);
        if (ids.dim() != 1) throw new ArgumentException($"One text is a tensor of shape [time]; this one has {ids.dim()} dimensions.", nameof(ids));
        using var scope = NewDisposeScope();
        return Decode(ids.to(int64).cpu().data<long>().ToArray().Select(id => checked((int)id)), skipSpecialTokens);
    }

    /// <summary>The number of a token, or null where there is none of that text.</summary>
    public int? TokenToId(string token)
    {
        ArgumentNullException.ThrowIfNull(token);
        return _pipeline.AddedTokens.Find(token)?.Id ?? (_pipeline.Model.Vocabulary.TryGetValue(token, out var id) ? id : null);
    }

    /// <summary>The token of that number as it stands in the vocabulary, or null where there is none.</summary>
    public string? IdToToken(int id) => _tokens.GetValueOrDefault(id);

    private TokenizerSide Side(string key) => _config.Settings.OptionalText(key) switch
    {
        null or "right" => TokenizerSide.Right,
        "left" => TokenizerSide.Left,
        var side => throw _config.Settings.Malformed($"\"{key}\" is \"{side}\", but is to be \"left\" or \"right\""),
    };

    private static string WellFormed(string text) => text.Any(char.IsSurrogate) ? Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)) : text;

    private void Truncate(List<int> first, List<int>? second, int limit, int special)
    {
        var room = limit - special;
        if (room < 0) throw new ArgumentOutOfRangeException(nameof(limit), limit, $"A greatest length below the {special} special tokens leaves no room for text (maxLength).");
        if (first.Count + (second?.Count ?? 0) <= room) return;
        var (left, right) = (room, 0);
        if (second is not null)
        {
            var shorter = Math.Min(first.Count, second.Count);
            var longer = Math.Max(shorter, room - shorter);
            if (shorter > room || shorter + longer > room) (shorter, longer) = (room / 2, room / 2 + room % 2);
            (left, right) = first.Count <= second.Count ? (shorter, longer) : (longer, shorter);
        }
        Cut(first, left);
        if (second is not null) Cut(second, right);
    }

    private void Cut(List<int> ids, int length)
    {
        if (ids.Count > length) ids.RemoveRange(TruncationSide == TokenizerSide.Left ? 0 : length, ids.Count - length);
    }
}

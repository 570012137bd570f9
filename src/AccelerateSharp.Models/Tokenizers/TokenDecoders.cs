using System.Text;

namespace AccelerateSharp.Models.Tokenizers;

/// <summary>The "decoder" of a tokenizer.json.</summary>
internal static class TokenDecoders
{
    /// <summary>What the reference calls cleaning up: English punctuation and contractions lose the space before them.</summary>
    private static readonly (string From, string To)[] _cleanUps =
        [(" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re")];

    public static TokenDecoder Read(TokenizerNode node) => node.Type switch
    {
        "Sequence" => Chain([.. node.AllowOnly("decoders").Items("decoders").Select(Read)]),
        "ByteLevel" => ByteLevel(node.AllowOnly("add_prefix_space", "trim_offsets", "use_regex")),
        "WordPiece" => WordPiece(node.AllowOnly("prefix", "cleanup")),
        "Metaspace" => Metaspace(node),
        "Replace" => Each(TextNormalizers.Replace(node.AllowOnly("pattern", "content"))),
        "ByteFallback" => ByteFallback,
        "Fuse" => tokens => [string.Concat(tokens)],
        "Strip" => Strip(node.AllowOnly("content", "start", "stop")),
        var type => throw node.Unsupported($"the decoder \"{type}\" is not supported"),
    };

    public static string CleanUp(string text) => _cleanUps.Aggregate(text, (current, rule) => current.Replace(rule.From, rule.To, StringComparison.Ordinal));

    private static TokenDecoder Chain(TokenDecoder[] parts) => tokens => parts.Aggregate(tokens, (current, part) => part(current));

    private static TokenDecoder Each(Normalizer change) => tokens => [.. tokens.Select(token => change(token))];

    private static TokenDecoder ByteLevel(TokenizerNode _) =>
        tokens => [Encoding.UTF8.GetString([.. tokens.SelectMany(ByteLevelAlphabet.Decode)])];

    private static TokenDecoder WordPiece(TokenizerNode node)
    {
        var (prefix, cleanUp) = (node.Text("prefix"), node.Flag("cleanup", true));
        return tokens =>
        [
            .. tokens.Select((token, i) =>
            {
                if (i > 0) token = token.StartsWith(prefix, StringComparison.Ordinal) ? token[prefix.Length..] : ' ' + token;
                return cleanUp ? CleanUp(token).Replace(" do not", " don't", StringComparison.Ordinal) : token;
            }),
        ];
    }

    private static TokenDecoder Metaspace(TokenizerNode node)
    {
        var (replacement, scheme, _) = PreTokenizers.MetaspaceSettings(node);
        return tokens =>
            [.. tokens.Select((token, i) => i == 0 && scheme != "never" ? token.Replace(replacement.ToString(), "", StringComparison.Ordinal) : token.Replace(replacement, ' '))];
    }

    /// <summary>Runs of tokens such as &lt;0x61&gt; as the UTF-8 they spell, or one replacement character each where they spell none.</summary>
    private static List<string> ByteFallback(IReadOnlyList<string> tokens)
    {
        var (result, bytes) = (new List<string>(tokens.Count), new List<byte>());
        var strict = new UTF8Encoding(false, throwOnInvalidBytes: true);
        foreach (var token in tokens)
        {
            if (BpeModel.FallbackByte(token) is { } value)
            {
                bytes.Add(value);
                continue;
            }
            Flush();
            result.Add(token);
        }
        Flush();
        return result;

        void Flush()
        {
            if (bytes.Count == 0) return;
            try
            {
                result.Add(strict.GetString([.. bytes]));
            }
            catch (DecoderFallbackException)
            {
                result.Add(new string('\uFFFD', bytes.Count));
            }
            bytes.Clear();
        }
    }

    private static TokenDecoder Strip(TokenizerNode node)
    {
        var (content, start, stop) = (node.Text("content"), node.Required("start").AsNumber(), node.Required("stop").AsNumber());
        if (content.Length != 1) throw node.Malformed("\"content\" is to be one character");
        return Each(token =>
        {
            var (from, to) = (0, token.Length);
            while (from < Math.Min(start, token.Length) && token[from] == content[0]) from++;
            while (to > from && token.Length - to < stop && token[to - 1] == content[0]) to--;
            return token[from..to];
        });
    }
}

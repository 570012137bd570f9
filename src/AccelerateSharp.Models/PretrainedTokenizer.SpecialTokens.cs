namespace AccelerateSharp;

public sealed partial class PretrainedTokenizer
{
    private string? _padToken;

    /// <summary>The token that begins a text, or null.</summary>
    public string? BosToken { get; private set; }

    /// <summary>The token that ends a text, or null.</summary>
    public string? EosToken { get; private set; }

    /// <summary>The token for what is in no vocabulary, or null.</summary>
    public string? UnkToken { get; private set; }

    /// <summary>BERT's token whose vector stands for the whole text, or null.</summary>
    public string? ClsToken { get; private set; }

    /// <summary>The token between two texts, or null.</summary>
    public string? SepToken { get; private set; }

    /// <summary>The token in place of one that is to be guessed, or null.</summary>
    public string? MaskToken { get; private set; }

    /// <summary>The token that fills a batch up, or null. Decoders often have none; set it to <see cref="EosToken"/> then.</summary>
    /// <exception cref="ArgumentException">It is set to a text that is no token.</exception>
    public string? PadToken
    {
        get => _padToken;
        set
        {
            if (value is not null && TokenToId(value) is null) throw new ArgumentException($"\"{value}\" is no token of this tokenizer.", nameof(value));
            _padToken = value;
        }
    }

    /// <summary>The number of <see cref="BosToken"/>.</summary>
    public int? BosTokenId => IdOf(BosToken);

    /// <summary>The number of <see cref="EosToken"/>.</summary>
    public int? EosTokenId => IdOf(EosToken);

    /// <summary>The number of <see cref="UnkToken"/>.</summary>
    public int? UnkTokenId => IdOf(UnkToken);

    /// <summary>The number of <see cref="ClsToken"/>.</summary>
    public int? ClsTokenId => IdOf(ClsToken);

    /// <summary>The number of <see cref="SepToken"/>.</summary>
    public int? SepTokenId => IdOf(SepToken);

    /// <summary>The number of <see cref="MaskToken"/>.</summary>
    public int? MaskTokenId => IdOf(MaskToken);

    /// <summary>The number of <see cref="PadToken"/>.</summary>
    public int? PadTokenId => IdOf(PadToken);

    private int? IdOf(string? token) => token is null ? null : TokenToId(token);

    private void ReadSpecialTokens()
    {
        BosToken = Named("bos_token");
        EosToken = Named("eos_token");
        UnkToken = Named("unk_token");
        ClsToken = Named("cls_token");
        SepToken = Named("sep_token");
        MaskToken = Named("mask_token");
        _padToken = Named("pad_token");

        // Files from before tokenizer_config.json leave the names to the tokenizer's class.
        string? Named(string name)
        {
            var token = _config.Special(name) ?? _pipeline.DefaultSpecialTokens.GetValueOrDefault(name);
            return token is not null && TokenToId(token) is not null ? token : null;
        }
    }
}

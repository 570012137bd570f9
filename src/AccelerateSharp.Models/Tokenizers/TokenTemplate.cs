namespace AccelerateSharp.Models.Tokenizers;

/// <summary>One place of a template: a special token's ids, or one of the two texts (then <see cref="Ids"/> is null).</summary>
internal readonly record struct TemplatePart(IReadOnlyList<int>? Ids, bool IsPair, int TypeId);

/// <summary>The "post_processor" of a tokenizer.json: where special tokens go around one text or two, and the type of each token.</summary>
internal sealed record TokenTemplate(IReadOnlyList<TemplatePart> Single, IReadOnlyList<TemplatePart> Pair)
{
    private static readonly TemplatePart _first = new(null, false, 0);

    /// <summary>No special token at all.</summary>
    public static TokenTemplate Plain { get; } = new([_first], [_first, new TemplatePart(null, true, 1)]);

    public static TokenTemplate Read(TokenizerNode? node, Func<string, int?> idOf)
    {
        if (node is not { } processor) return Plain;
        switch (processor.Type)
        {
            case "ByteLevel":
                // Concerns the positions of tokens in the text only.
                return Plain;
            case "Sequence":
                var templates = processor.AllowOnly("processors").Items("processors").Where(p => p.Type != "ByteLevel").ToList();
                return templates.Count > 1
                    ? throw processor.Unsupported("a sequence of several templates is not supported")
                    : Read(templates.Count == 0 ? null : templates[0], idOf);
            case "BertProcessing":
                return Bert(Named(processor.AllowOnly("sep", "cls"), "cls"), Named(processor, "sep"));
            case "RobertaProcessing":
                processor.AllowOnly("sep", "cls", "trim_offsets", "add_prefix_space");
                return Roberta(Named(processor, "cls"), Named(processor, "sep"));
            case "TemplateProcessing":
                processor.AllowOnly("single", "pair", "special_tokens");
                return new TokenTemplate(Parts(processor, "single"), Parts(processor, "pair"));
            default:
                throw processor.Unsupported($"the post-processor \"{processor.Type}\" is not supported");
        }

        int Named(TokenizerNode owner, string key)
        {
            var pair = owner.Items(key).ToList();
            return pair.Count == 2 ? pair[1].AsNumber() : throw owner.Malformed($"\"{key}\" is to be a token and its id");
        }

        IReadOnlyList<TemplatePart> Parts(TokenizerNode owner, string key) =>
            [.. owner.Items(key).Select(part => part.AllowOnly("SpecialToken", "Sequence").Child("Sequence") is { } text
                ? new TemplatePart(null, text.Text("id") == "B", text.Required("type_id").AsNumber())
                : new TemplatePart(Special(owner, part.Required("SpecialToken")), false, part.Required("SpecialToken").Required("type_id").AsNumber()))];

        IReadOnlyList<int> Special(TokenizerNode owner, TokenizerNode token)
        {
            var name = token.Text("id");
            if (owner.Child("special_tokens")?.Child(name) is { } listed) return [.. listed.Items("ids").Select(id => id.AsNumber())];
            return [idOf(name) ?? throw token.Malformed($"the special token \"{name}\" is in no vocabulary")];
        }
    }

    /// <summary>[CLS] A [SEP] and [CLS] A [SEP] B [SEP], the second text of type 1.</summary>
    public static TokenTemplate Bert(int cls, int sep) => new(
        [Special(cls), _first, Special(sep)],
        [Special(cls), _first, Special(sep), new TemplatePart(null, true, 1), Special(sep, 1)]);

    /// <summary>&lt;s&gt; A &lt;/s&gt; and &lt;s&gt; A &lt;/s&gt;&lt;/s&gt; B &lt;/s&gt;, everything of type 0.</summary>
    public static TokenTemplate Roberta(int cls, int sep) => new(
        [Special(cls), _first, Special(sep)],
        [Special(cls), _first, Special(sep), Special(sep), new TemplatePart(null, true, 0), Special(sep)]);

    /// <summary>The begin token before each text and the end token after it, where they are given.</summary>
    public static TokenTemplate BeginEnd(int? begin, int? end)
    {
        return new TokenTemplate(Text(false), [.. Text(false), .. Text(true)]);

        List<TemplatePart> Text(bool isPair)
        {
            var parts = new List<TemplatePart>();
            var type = isPair ? 1 : 0;
            if (begin is { } first) parts.Add(Special(first, type));
            parts.Add(new TemplatePart(null, isPair, type));
            if (end is { } last) parts.Add(Special(last, type));
            return parts;
        }
    }

    /// <summary>How many special tokens are added.</summary>
    public int CountSpecial(bool isPair) => (isPair ? Pair : Single).Sum(part => part.Ids?.Count ?? 0);

    public (List<int> Ids, List<int> TypeIds) Apply(IReadOnlyList<int> text, IReadOnlyList<int>? pair, bool addSpecialTokens)
    {
        var (ids, types) = (new List<int>(text.Count + 4), new List<int>(text.Count + 4));
        foreach (var part in pair is null ? Single : Pair)
        {
            if (part.Ids is not null && !addSpecialTokens) continue;
            var source = part.Ids ?? (part.IsPair ? pair! : text);
            ids.AddRange(source);
            types.AddRange(Enumerable.Repeat(part.TypeId, source.Count));
        }
        return (ids, types);
    }

    private static TemplatePart Special(int id, int type = 0) => new([id], false, type);
}

using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using AccelerateSharp.Models.Tokenizers;

namespace AccelerateSharp.Models.Tests.Tokenizers;

/// <summary>The published vocabularies that scripts/setup.sh fetches, and tokenizer.json files around them.</summary>
internal static class Vocabularies
{
    /// <summary>The folder of a published vocabulary; without it the test is skipped.</summary>
    public static string Folder(string name)
    {
        var data = typeof(Vocabularies).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "DataFolder").Value!;
        var folder = Path.Combine(data, "tokenizers", name);
        Assert.SkipUnless(Directory.Exists(folder), $"data/tokenizers/{name} is missing: scripts/setup.sh fetches it where npm is there.");
        return folder;
    }

    /// <summary>A tokenizer.json, with the published vocabulary of that name as its model's.</summary>
    public static PretrainedTokenizer Load(JsonElement tokenizer, string vocabulary)
    {
        var source = Folder(vocabulary);
        var json = JsonObject.Create(tokenizer)!.DeepClone().AsObject();
        var model = json["model"]!.AsObject();
        switch (vocabulary)
        {
            case "gpt2":
                model["vocab"] = JsonNode.Parse(File.ReadAllText(Path.Combine(source, "vocab.json")));
                model["merges"] = new JsonArray([.. TokenizerFiles.ReadMerges(Path.Combine(source, "merges.txt")).Select(merge => JsonValue.Create(merge))]);
                break;
            case "mistral":
                var published = JsonNode.Parse(File.ReadAllText(Path.Combine(source, "tokenizer.json")))!["model"]!;
                model["vocab"] = published["vocab"]!.DeepClone();
                model["merges"] = published["merges"]!.DeepClone();
                break;
            default:
                model["vocab"] = new JsonObject(TokenizerFiles.ReadVocabularyLines(Path.Combine(source, "vocab.txt")).Select(e => KeyValuePair.Create(e.Key, (JsonNode?)e.Value)));
                break;
        }
        using var folder = new TemporaryFolder().Write("tokenizer.json", json.ToJsonString());
        return PretrainedTokenizer.FromPretrained(folder.Path);
    }

    /// <summary>A byte-level BPE of the 256 bytes and these merges.</summary>
    public static string ByteLevelJson(IReadOnlyList<string>? merges = null, string extra = "")
    {
        var vocabulary = new JsonObject();
        foreach (var value in Enumerable.Range(0, 256)) vocabulary[Bytes[value]] = value;
        foreach (var merge in merges ?? []) vocabulary.TryAdd(merge.Replace(" ", "", StringComparison.Ordinal), vocabulary.Count);
        var model = new JsonObject { ["type"] = "BPE", ["vocab"] = vocabulary, ["merges"] = new JsonArray([.. (merges ?? []).Select(m => JsonValue.Create(m))]) };
        return $$"""
            { "version": "1.0", "added_tokens": [{ "id": 1000, "content": "<|end|>", "special": true, "normalized": false }],
              "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "use_regex": true },
              "decoder": { "type": "ByteLevel" }, {{extra}} "model": {{model.ToJsonString()}} }
            """;
    }

    private static string[] Bytes { get; } = ByteCharacters();

    /// <summary>Independent of the code under test: the printable Latin-1 characters stand for themselves, the others follow from U+0100 on.</summary>
    private static string[] ByteCharacters()
    {
        var next = 0x100;
        return [.. Enumerable.Range(0, 256).Select(b => ((char)(b is >= 33 and <= 126 or >= 161 and <= 172 or >= 174 ? b : next++)).ToString())];
    }
}

#!/usr/bin/env dotnet
#:project ../src/AccelerateSharp.Models/AccelerateSharp.Models.csproj
#:property PublishAot=false

// Continues a text with a model that may be larger than the GPU: a device map spreads its layers over GPUs, memory and disk.
//
//   dotnet run examples/generate.cs -- --model Llama-3.1-8B --prompt "The capital of France is" --memory 0=10GiB,cpu=24GiB --offload offload
//
// [--new 64] [--temperature 0.7] [--top-p 0.9] [--greedy] [--dtype float32|bfloat16|float16] [--seed 42]
// Without --model it takes a small Llama with random weights, which it makes itself and which therefore writes nonsense.

using System.Diagnostics;
using System.Globalization;
using AccelerateSharp;
using static TorchSharp.torch;

var options = Options.Parse(args);
_ = new PartialState(cpu: !cuda.is_available());
var folder = options.Model ?? HomeMade.Model(options);
var tokenizer = PretrainedTokenizer.FromPretrained(folder);

// The model has no weights until each is read straight to where the map wants it.
var model = BigModeling.InitEmptyWeights(() => (CausalLanguageModel)PretrainedModel.FromConfig(folder));
var watch = Stopwatch.StartNew();
BigModeling.LoadCheckpointAndDispatch(model, folder, maxMemory: options.Memory, offloadFolder: options.Offload, dtype: options.Dtype);
model.eval();
Console.Error.WriteLine($"loaded in {watch.Elapsed.TotalSeconds:F1} s: {Summary(BigModeling.DeviceMapOf(model))}");

var device = cuda.is_available() ? CUDA : CPU;
var prompt = tensor(tokenizer.Encode(options.Prompt).Ids.Select(id => (long)id).ToArray(), device: device).unsqueeze(0);
var written = new List<int>();
var text = "";
Console.Write(options.Prompt);
watch.Restart();
model.Generate(prompt, new()
{
    MaxNewTokens = options.New,
    DoSample = !options.Greedy,
    Temperature = options.Temperature,
    TopP = options.TopP,
    Generator = options.Greedy ? null : new Generator((ulong)options.Seed, device),
    OnToken = token =>
    {
        // A word may change with the piece that follows it, so the whole is decoded and what is new of it printed.
        written.Add((int)token.item<long>());
        var whole = tokenizer.Decode(written, skipSpecialTokens: true);
        if (whole.Length > text.Length && !whole.EndsWith('\uFFFD'))
        {
            Console.Write(whole[text.Length..]);
            text = whole;
        }
        return true;
    },
});
Console.WriteLine();
Console.Error.WriteLine($"{written.Count} tokens, {written.Count / watch.Elapsed.TotalSeconds:F1} per second");

static string Summary(DeviceMap? map) => map is null
    ? "everything in one place"
    : string.Join(", ", map.GroupBy(entry => entry.Value).Select(place => $"{place.Count()} parts on {place.Key}"));

/// <summary>A small Llama in the layout of the Hub, so that the example runs without one.</summary>
internal static class HomeMade
{
    public static string Model(Options options)
    {
        if (!Directory.Exists(options.Tokenizers)) throw new DirectoryNotFoundException($"{options.Tokenizers} is missing: scripts/setup.sh fetches it with npm; or name a model of your own with --model FOLDER.");
        Console.Error.WriteLine("No --model is given: this is a small Llama with random weights, made here. It shows how, and writes nonsense.");
        var folder = Path.Combine(Path.GetTempPath(), "accelerate-home-made-llama");
        var tokenizer = PretrainedTokenizer.FromPretrained(options.Tokenizers);
        manual_seed(options.Seed);
        using var model = new LlamaForCausalLM(new LlamaConfig
        {
            VocabSize = tokenizer.VocabularySize,
            HiddenSize = 128,
            IntermediateSize = 344,
            NumHiddenLayers = 4,
            NumAttentionHeads = 4,
            NumKeyValueHeads = 2,
        });
        model.SavePretrained(folder);
        tokenizer.SavePretrained(folder);
        return folder;
    }
}

/// <summary>What the command line may change.</summary>
internal sealed record Options
{
    private static readonly string _examples = AppContext.GetData("EntryPointFileDirectoryPath") as string ?? AppContext.BaseDirectory;

    public string? Model { get; init; }
    public string Prompt { get; init; } = "A hacker is";
    public MaxMemory? Memory { get; init; }
    public string? Offload { get; init; }
    public ScalarType? Dtype { get; init; }
    public int New { get; init; } = 64;
    public double Temperature { get; init; } = 0.7;
    public double TopP { get; init; } = 0.9;
    public bool Greedy { get; init; }
    public int Seed { get; init; } = 42;

    public string Tokenizers => Path.GetFullPath("../data/tokenizers/mistral", _examples);

    public static Options Parse(string[] args)
    {
        var options = new Options();
        var i = 0;
        for (; i < args.Length; i++)
        {
            options = args[i] switch
            {
                "--model" => options with { Model = Value() },
                "--prompt" => options with { Prompt = Value() },
                "--memory" => options with { Memory = Limits(Value()) },
                "--offload" => options with { Offload = Value() },
                "--dtype" => options with { Dtype = Enum.Parse<ScalarType>(Value(), ignoreCase: true) },
                "--new" => options with { New = int.Parse(Value(), CultureInfo.InvariantCulture) },
                "--temperature" => options with { Temperature = double.Parse(Value(), CultureInfo.InvariantCulture) },
                "--top-p" => options with { TopP = double.Parse(Value(), CultureInfo.InvariantCulture) },
                "--greedy" => options with { Greedy = true },
                "--seed" => options with { Seed = int.Parse(Value(), CultureInfo.InvariantCulture) },
                var unknown => throw new ArgumentException($"{unknown} is no option of this example."),
            };
        }
        return options;

        string Value() => ++i < args.Length ? args[i] : throw new ArgumentException($"{args[i - 1]} needs a value.");
    }

    /// <summary><c>0=10GiB,cpu=24GiB</c>.</summary>
    private static MaxMemory Limits(string text)
    {
        var limits = new MaxMemory();
        foreach (var entry in text.Split(','))
        {
            var (place, amount) = entry.Split('=') is [var first, var second] ? (first, second) : throw new ArgumentException($"--memory: '{entry}' is not PLACE=AMOUNT.");
            limits[Placement.Parse(place)] = amount;
        }
        return limits;
    }
}

// Tokens per second of greedy generation with random weights. Beside transformers: benchmarks/generate.sh.
//
//   Generate [--preset 8b|1b|tiny] [--batch 1] [--prompt 128] [--new 128] [--rounds 3] [--cpu]

using System.Diagnostics;
using System.Globalization;
using AccelerateSharp;
using static TorchSharp.torch;

var (preset, batch, prompt, added, rounds, cpu) = ("8b", 1, 128, 128, 3, false);
for (var i = 0; i < args.Length; i++)
{
    switch (args[i])
    {
        case "--preset": preset = args[++i]; break;
        case "--batch": batch = Number(args[++i]); break;
        case "--prompt": prompt = Number(args[++i]); break;
        case "--new": added = Number(args[++i]); break;
        case "--rounds": rounds = Number(args[++i]); break;
        case "--cpu": cpu = true; break;
        case var other: throw new ArgumentException($"There is no option {other}.");
    }
}

var config = preset switch
{
    "8b" => Shape(vocabulary: 128256, hidden: 4096, layers: 32, heads: 32, inner: 14336),
    "1b" => Shape(vocabulary: 128256, hidden: 2048, layers: 16, heads: 32, inner: 8192),
    "tiny" => Shape(vocabulary: 1024, hidden: 64, layers: 2, heads: 8, inner: 176),
    _ => throw new ArgumentException($"--preset {preset}: it is one of 8b, 1b, tiny."),
};
_ = new Accelerator(cpu: cpu); // Chooses the device, and finds libtorch.
var device = cpu ? CPU : CUDA;
manual_seed(1);
var model = new LlamaForCausalLM(config, ScalarType.BFloat16, device);
var tokens = randint(0, config.VocabSize, [batch, prompt], ScalarType.Int64, device);
// What is compiled and allocated at the first use is not measured.
_ = Seconds(16);

var (first, whole) = (new List<double>(), new List<double>());
for (var round = 0; round < rounds; round++)
{
    first.Add(Seconds(1));
    whole.Add(Seconds(added));
}

var decode = (Median(whole) - Median(first)) / (added - 1);
Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
    $"RESULT accelerate {preset} batch {batch} prompt {prompt} new {added} tokens_per_second {batch * added / Median(whole):F1} first_ms {1000 * Median(first):F1} next_ms {1000 * decode:F2}"));

double Seconds(int count)
{
    using var scope = NewDisposeScope();
    var watch = Stopwatch.StartNew();
    var text = model.Generate(tokens, new() { MaxNewTokens = count, EosTokenIds = [] }).cpu();
    if (text.shape[1] != prompt + count) throw new InvalidOperationException($"{text.shape[1]} tokens came, not {prompt + count}.");
    return watch.Elapsed.TotalSeconds;
}

static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

static LlamaConfig Shape(int vocabulary, int hidden, int layers, int heads, int inner) => new()
{
    VocabSize = vocabulary,
    HiddenSize = hidden,
    NumHiddenLayers = layers,
    NumAttentionHeads = heads,
    NumKeyValueHeads = 8,
    IntermediateSize = inner,
    MaxPositionEmbeddings = 8192,
    RopeTheta = 500_000,
    RmsNormEps = 1e-5,
};

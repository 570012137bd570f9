// A Llama with random bf16 weights: how fast it loads, and how long a token takes while half of its layers are elsewhere.
//
//   BigModel write|load|check|offload --folder DIR [--small] [--device cuda|cpu] [--to cpu|disk] [--rounds 2] [--tokens 8]
//
// write    a checkpoint of the shape of Llama 3 8B (16 GB), or a small one, into DIR
// load     all of it to the device, again and again: RESULT load ours ROUND GiB/s
// check    the same logits for a model that is whole on the device and for maps of all kinds: RESULT check MAP same|DIFFERENT
// offload  the second half of the layers on `--to`: RESULT offload ours PLACE ms-per-token some-logits
//
// bigmodel_peer.py does the same in Python; benchmarks/bigmodel.sh runs both.

using System.Diagnostics;
using System.Globalization;
using AccelerateSharp;
using TorchSharp;
using static TorchSharp.torch;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
var folder = Text("--folder", "") is { Length: > 0 } given ? given : throw new ArgumentException("Name a folder: --folder DIR.");
var small = args.Contains("--small");
var device = new PartialState().Device is { type: DeviceType.CUDA } gpu && Text("--device", "cuda") == "cuda" ? gpu : CPU;
Placement main = device;
var config = small
    ? new LlamaConfig { VocabSize = 1000, HiddenSize = 256, IntermediateSize = 896, NumHiddenLayers = 8, NumAttentionHeads = 8, NumKeyValueHeads = 2, RmsNormEps = 1e-5, RopeTheta = 500_000 }
    : new LlamaConfig { VocabSize = 128_256, HiddenSize = 4096, IntermediateSize = 14_336, NumHiddenLayers = 32, NumAttentionHeads = 32, NumKeyValueHeads = 8, RmsNormEps = 1e-5, RopeTheta = 500_000, MaxPositionEmbeddings = 8192 };
switch (args[0])
{
    case "write": Write(); break;
    case "load": Load(); break;
    case "check": Check(); break;
    case "offload": Offload(); break;
    default: throw new ArgumentException($"There is no part '{args[0]}': write, load, check or offload.");
}

void Write()
{
    var model = BigModeling.InitEmptyWeights(() => new LlamaForCausalLM(config, ScalarType.BFloat16));
    var weights = model.state_dict().ToDictionary(entry => entry.Key, entry => entry.Value.dim() == 1
        ? ones(entry.Value.shape, ScalarType.BFloat16, device)
        : randn(entry.Value.shape, ScalarType.BFloat16, device).mul_(0.02));
    var clock = Stopwatch.StartNew();
    SafetensorsCheckpoint.Save(weights, folder, maxShardSize: 5_000_000_000);
    Console.WriteLine($"written {weights.Values.Sum(weight => weight.numel() * 2) / 1e9:F2} GB in {clock.Elapsed.TotalSeconds:F1} s");
}

void Load()
{
    zeros(1, device: device).Dispose();
    for (var round = 1; round <= int.Parse(Text("--rounds", "2")); round++)
    {
        Synchronize();
        var clock = Stopwatch.StartNew();
        var weights = SafetensorsCheckpoint.Load(folder, device);
        Synchronize();
        var bytes = weights.Values.Sum(weight => weight.numel() * weight.element_size());
        Console.WriteLine($"RESULT load ours {round} {bytes / clock.Elapsed.TotalSeconds / (1L << 30):F2}");
        foreach (var weight in weights.Values) weight.Dispose();
    }
}

void Check()
{
    using var noGrad = no_grad();
    var input = arange(1, 9, ScalarType.Int64).reshape(1, 8);
    var half = config.NumHiddenLayers / 2;
    (string Name, DeviceMap Map)[] maps =
    [
        ("half-cpu", Map(i => i < half ? main : "cpu")), ("half-disk", Map(i => i < half ? main : "disk")), ("alternating", Map(i => i % 2 == 0 ? main : i % 4 == 1 ? Placement.Cpu : Placement.Disk)),
        ("all-cpu", Map(_ => "cpu", ends: "cpu")), ("all-disk", Map(_ => "disk", ends: "disk")),
    ];
    using var whole = Dispatch(DeviceMap.All(device));
    var expected = whole.call(input).Logits;
    foreach (var (name, map) in maps)
    {
        using var scope = NewDisposeScope();
        using var model = Dispatch(map);
        var same = true;
        for (var pass = 0; pass < 3; pass++) same &= expected.equal(model.call(input).Logits).all().item<bool>();
        ModelHooks.RemoveHookFromModule(model, recurse: true);
        Console.WriteLine($"RESULT check {name} {(same ? "same" : "DIFFERENT")}");
        if (!same) Environment.ExitCode = 1;
    }
}

LlamaForCausalLM Dispatch(DeviceMap map)
{
    var model = BigModeling.InitEmptyWeights(() => new LlamaForCausalLM(config, ScalarType.BFloat16));
    model.eval();
    BigModeling.LoadCheckpointInModel(model, folder, map, Path.Combine(folder, "offload"));
    return BigModeling.DispatchModel(model, map, device, Path.Combine(folder, "offload"));
}

DeviceMap Map(Func<int, Placement> layers, Placement? ends = null)
{
    var end = ends ?? main;
    var map = new DeviceMap { ["model.embed_tokens"] = end, ["model.norm"] = end, ["lm_head"] = end };
    for (var layer = 0; layer < config.NumHiddenLayers; layer++) map[$"model.layers.{layer}"] = layers(layer);
    return map;
}

void Offload()
{
    var (place, tokens) = (Text("--to", "cpu"), int.Parse(Text("--tokens", "8")));
    using var noGrad = no_grad();
    var clock = Stopwatch.StartNew();
    var model = Dispatch(Map(layer => layer < config.NumHiddenLayers / 2 ? main : place));
    Synchronize();
    Console.WriteLine($"RESULT dispatch ours {place} {clock.Elapsed.TotalSeconds:F2}");
    var input = arange(1, 9, ScalarType.Int64, device).reshape(1, 8);
    var times = new List<double>();
    var sample = "";
    for (var i = 0; i < tokens + 2; i++)
    {
        using var scope = NewDisposeScope();
        Synchronize();
        clock.Restart();
        var logits = model.call(input).Logits;
        Synchronize();
        if (i >= 2) times.Add(clock.Elapsed.TotalMilliseconds);
        sample = string.Join(',', logits[0, -1].to(ScalarType.Float32).cpu().data<float>().ToArray().Where((_, j) => j % (config.VocabSize / 20) == 0).Select(value => value.ToString("F3")));
    }
    times.Sort();
    Console.WriteLine($"RESULT offload ours {place} {times[times.Count / 2]:F2} {sample}");
}

void Synchronize()
{
    if (device.type == DeviceType.CUDA) cuda.synchronize();
}

string Text(string name, string fallback) => Array.IndexOf(args, name) is var at and >= 0 && at + 1 < args.Length ? args[at + 1] : fallback;

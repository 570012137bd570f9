// One training run of a Llama on random tokens; benchmarks/train_llama_peer.py is its twin with Accelerate and transformers.
//
//   accelerate launch benchmarks/TrainLlama
//       [--preset tiny|160m|1.5b|8b] [--batch 16] [--seq 1024] [--precision no|bf16|fp16|fp8] [--strategy none|ddp|fsdp|env]
//       [--optimizer fused-adamw|adamw|adamw8bit|lion|adafactor] [--plain-loss] [--checkpointing] [--steps 20] [--warm-up 5]
//       [--lr 1e-4] [--weights FOLDER] [--offload] [--parts 5] [--timeline FILE] [--cpu]
//
// --batch is per process. Strategy none and ddp differ only in the number of processes; env leaves all to the environment.
// Under fsdp no process ever holds the whole model: weights are made in place, or read by rank 0. --offload keeps shards and
// optimizer on the host; --timeline records one step more; --parts: steps of which forward, backward and optimizer are timed apart.
// Prints one line of JSON on rank 0. A step is timed from device idle to device idle.

using System.Diagnostics;
using System.Text.Json;
using AccelerateSharp;
using AccelerateSharp.Benchmarks.TrainLlama;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

var settings = Settings.Parse(args);
var isSharded = settings.Strategy == "fsdp";
var accelerator = new Accelerator(
    cpu: settings.Cpu,
    mixedPrecision: settings.Precision,
    fsdpPlugin: !isSharded ? null : new()
    {
        AutoWrapPolicy = AutoWrapPolicy.TransformerBasedWrap,
        ActivationCheckpointing = settings.Checkpointing ? true : null,
        OffloadParams = settings.Offload ? true : null,
        ParamInitFn = Presets.Initialize,
    });
var device = accelerator.Device;
var memory = new PeakMemory(device);
var config = Presets.Get(settings.Preset);
// Shards are drawn by the rank that has them; whole models are rank 0's.
Accelerator.SetSeed(accelerator.ProcessIndex);
var model = isSharded ? BigModeling.InitEmptyWeights(() => new LlamaForCausalLM(config))
    : settings.Weights is { } folder ? (LlamaForCausalLM)PretrainedModel.FromPretrained(folder, ScalarType.Float32, device)
    : new LlamaForCausalLM(config, device: device);
model.train();
if (settings is { Checkpointing: true, Strategy: not "fsdp" }) ActivationCheckpointing.Apply(model);
var parameters = model.parameters().Sum(parameter => parameter.numel());
var optimizer = CreateOptimizer();
(model, optimizer) = accelerator.Prepare(model, optimizer);
if (isSharded && settings.Weights is { } files) accelerator.LoadCheckpoint(model, files);
if (settings.Checkpointing && !isSharded) ActivationCheckpointing.Apply(model);

const int Batches = 4;
var batches = Enumerable.Range(0, Batches)
    .Select(step => Tokens.Make((step * accelerator.NumProcesses) + accelerator.ProcessIndex, settings.Batch, settings.Length, config.VocabSize, device))
    .ToList();
var (times, losses) = (new List<double>(), new List<float>());
for (var step = 0; step < settings.WarmUp + settings.Steps; step++)
{
    using var scope = NewDisposeScope();
    Wait();
    var started = Stopwatch.GetTimestamp();
    optimizer.zero_grad();
    var loss = Loss(batches[step % Batches]);
    accelerator.Backward(loss);
    optimizer.step();
    Wait();
    if (step >= settings.WarmUp) times.Add(Stopwatch.GetElapsedTime(started).TotalMilliseconds);
    if (step < 5) losses.Add(accelerator.Reduce(loss, "mean").item<float>());
}

// Where the time goes: the same with a wait after each part.
var parts = new double[3][];
for (var step = 0; step < settings.Parts; step++)
{
    using var scope = NewDisposeScope();
    optimizer.zero_grad();
    Tensor? loss = null;
    Time(0, () => loss = Loss(batches[step % Batches]));
    Time(1, () => accelerator.Backward(loss!));
    Time(2, () => optimizer.step());

    void Time(int part, Action action)
    {
        Wait();
        var started = Stopwatch.GetTimestamp();
        action();
        Wait();
        (parts[part] ??= new double[settings.Parts])[step] = Stopwatch.GetElapsedTime(started).TotalMilliseconds;
    }
}

var timeline = settings.Timeline is { } path ? RecordStep(path) : ((double Gather, double UnderCompute)?)null;
var median = times.Order().ElementAt(times.Count / 2);
var tokensPerSecond = 1000.0 * settings.Batch * settings.Length / median;
accelerator.OnMainProcess(() => Console.WriteLine(JsonSerializer.Serialize(new Dictionary<string, object?>
{
    ["side"] = "AccelerateSharp",
    ["versions"] = $"TorchSharp {typeof(torch).Assembly.GetName().Version}, libtorch {__version__}",
    ["preset"] = settings.Preset,
    ["parameters"] = parameters,
    ["precision"] = accelerator.MixedPrecision.ToString().ToLowerInvariant(),
    ["strategy"] = settings.Strategy + (settings.Checkpointing ? "+checkpointing" : "") + (settings.Offload ? "+offload" : ""),
    ["optimizer"] = settings.Optimizer,
    ["loss"] = settings.PlainLoss ? "plain" : "fused",
    ["processes"] = accelerator.NumProcesses,
    ["batch"] = settings.Batch,
    ["seq"] = settings.Length,
    ["step_ms"] = Math.Round(median, 2),
    ["forward_backward_optimizer_ms"] = parts.Where(part => part is not null).Select(part => Math.Round(part.Order().ElementAt(settings.Parts / 2), 2)),
    ["tokens_per_second_per_gpu"] = Math.Round(tokensPerSecond),
    ["tflops_per_gpu"] = Math.Round(tokensPerSecond * Presets.OperationsPerToken(config, parameters, settings.Length) / 1e12, 1),
    ["peak_allocated_gib"] = memory.Allocated is { } allocated ? Gibibytes(allocated) : null,
    ["peak_reserved_gib"] = Gibibytes(memory.Reserved),
    ["memory_from"] = memory.Source,
    ["gather_ms"] = timeline?.Gather,
    ["gather_under_compute"] = timeline?.UnderCompute,
    ["losses"] = losses.Select(loss => Math.Round(loss, 5)),
})));
accelerator.EndTraining();

Tensor Loss(Tensor tokens)
{
    if (!settings.PlainLoss) return model.call(new ModelInputs { InputIds = tokens, Labels = tokens }).Loss;
    using var logits = model.call(tokens).Logits;
    // As transformers does it: the targets are shifted and end with one that does not count, and the logits stay whole.
    using var last = full([tokens.shape[0], 1], -100, ScalarType.Int64, device);
    using var targets = cat([tokens.narrow(1, 1, tokens.shape[1] - 1), last], 1);
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten());
}

// One step, of which each rank writes what its units did when.
(double Gather, double UnderCompute) RecordStep(string path)
{
    using (NewDisposeScope())
    using (accelerator.RecordTimeline(path))
    {
        optimizer.zero_grad();
        accelerator.Backward(Loss(batches[0]));
        optimizer.step();
    }

    using var trace = JsonDocument.Parse(File.ReadAllText(Path.ChangeExtension(path, $"rank{accelerator.ProcessIndex}{Path.GetExtension(path)}")));
    var other = trace.RootElement.GetProperty("otherData");
    var (gather, under) = (other.GetProperty("gather_us").GetDouble(), other.GetProperty("gather_under_compute_us").GetDouble());
    return (Math.Round(gather / 1000, 2), gather > 0 ? Math.Round(under / gather, 3) : 0);
}

optim.Optimizer CreateOptimizer() => settings.Optimizer switch
{
    "fused-adamw" => new FusedAdamW(model.parameters(), settings.LearningRate, weight_decay: 0.01),
    "adamw" => optim.AdamW(model.parameters(), settings.LearningRate, weight_decay: 0.01),
    "adamw8bit" => new AdamW8bit(model.parameters(), settings.LearningRate, weight_decay: 0.01),
    "lion" => new Lion(model.parameters(), settings.LearningRate / 10, weight_decay: 0.1),
    "adafactor" => new Adafactor(model.parameters()),
    var other => throw new ArgumentException($"--optimizer {other}: it is one of fused-adamw, adamw, adamw8bit, lion, adafactor."),
};

void Wait()
{
    if (device.type == DeviceType.CUDA) cuda.synchronize(device);
}

static double Gibibytes(long bytes) => Math.Round(bytes / (double)(1L << 30), 2);

// One optimizer step over the parameters of a Llama-like model, TorchSharp's optimizers against ours, and gradient clipping.
//
//   dotnet run -c Release --project benchmarks/Optimizers -- [--millions 1500] [--dtype float32|bfloat16] [--steps 20] [--cpu] [--only AdamW8bit]
//
// Prints one line of a markdown table for each: median time of a step, parameters per second, bytes of state per parameter.

using System.Diagnostics;
using System.Globalization;
using AccelerateSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

var accelerator = new Accelerator(cpu: args.Contains("--cpu"));
var device = accelerator.Device;
var dtype = Text("--dtype", "float32") == "bfloat16" ? ScalarType.BFloat16 : ScalarType.Float32;
var (millions, steps, only) = (long.Parse(Text("--millions", "1500"), CultureInfo.InvariantCulture), int.Parse(Text("--steps", "20"), CultureInfo.InvariantCulture), Text("--only", ""));

var parameters = Shapes(millions * 1_000_000).Select(shape => nn.Parameter((randn(shape, dtype: dtype, device: device) * 0.02).DetachFromDisposeScope())).ToList();
foreach (var parameter in parameters) parameter.grad = randn_like(parameter).mul_(0.01).DetachFromDisposeScope();
var count = parameters.Sum(parameter => parameter.numel());

Console.WriteLine($"{count / 1e6:F0} M parameters in {parameters.Count} tensors, {dtype}, {(device.type == TorchSharp.DeviceType.CUDA ? device : $"CPU with {get_num_threads()} threads")}");
Console.WriteLine();
Console.WriteLine("| | ms per step | billion parameters/s | state bytes per parameter |");
Console.WriteLine("|---|---|---|---|");
Measure("TorchSharp AdamW", () => optim.AdamW(parameters, 1e-4, weight_decay: 0.1));
Measure("FusedAdamW", () => new FusedAdamW(parameters, 1e-4, weight_decay: 0.1));
if (dtype != ScalarType.Float32) Measure("FusedAdamW, float32 states", () => new FusedAdamW(parameters, 1e-4, weight_decay: 0.1, stateDtype: ScalarType.Float32));
Measure("AdamW8bit", () => new AdamW8bit(parameters, 1e-4, weight_decay: 0.1));
Measure("Lion", () => new Lion(parameters, 1e-5, weight_decay: 0.1));
Measure("Adafactor", () => new Adafactor(parameters));
Measure("TorchSharp SGD, momentum", () => optim.SGD(parameters, 1e-4, momentum: 0.9));
Measure("FusedSGD, momentum", () => new FusedSGD(parameters, 1e-4, momentum: 0.9));
Time("TorchSharp clip_grad_norm_ (reads the norm)", () => nn.utils.clip_grad_norm_(parameters, 1e6), "");
Time("ClipGradNorm", () => accelerator.ClipGradNorm(parameters, 1e6), "");

void Measure(string name, Func<OptimizerHelper> create)
{
    if (!name.Contains(only, StringComparison.Ordinal)) return;
    using var optimizer = create();
    optimizer.step();
    var state = optimizer is FusedOptimizer fused
        ? (parameters.Sum(parameter => fused.StateOf(parameter).Values.Sum(tensor => (double)tensor.numel() * tensor.element_size())) / count).ToString("F2", CultureInfo.InvariantCulture)
        : name.Contains("SGD", StringComparison.Ordinal) ? parameters[0].element_size().ToString(CultureInfo.InvariantCulture) : (2 * parameters[0].element_size()).ToString(CultureInfo.InvariantCulture);
    Time(name, () => optimizer.step(), state);
}

void Time(string name, Action action, string state)
{
    if (!name.Contains(only, StringComparison.Ordinal)) return;
    for (var i = 0; i < 3; i++) Run();
    var times = Enumerable.Range(0, steps).Select(_ => Run()).Order().ToList();
    var median = times[steps / 2];
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {name} | {median:F2} | {count / median / 1e6:F2} | {state} |"));

    double Run()
    {
        using var scope = NewDisposeScope();
        Wait();
        var started = Stopwatch.GetTimestamp();
        action();
        Wait();
        return Stopwatch.GetElapsedTime(started).TotalMilliseconds;
    }
}

void Wait()
{
    if (device.type == TorchSharp.DeviceType.CUDA) cuda.synchronize(device);
}

// Embedding, blocks of four attention matrices, three of the MLP and two norms, until there are enough.
static IEnumerable<long[]> Shapes(long wanted)
{
    var width = wanted >= 1_000_000_000 ? 2048 : wanted >= 100_000_000 ? 1024 : 256;
    var (inner, left) = (width * 11 / 4, wanted);
    long[][] block = [[width, width], [width, width], [width, width], [width, width], [inner, width], [inner, width], [width, inner], [width], [width]];
    yield return [wanted >= 1_000_000_000 ? 32000 : 8000, width];
    for (left -= (wanted >= 1_000_000_000 ? 32000 : 8000) * (long)width; left > 0; left -= block.Sum(shape => shape.Aggregate(1L, (product, size) => product * size)))
        foreach (var shape in block) yield return shape;
}

string Text(string name, string fallback) => Array.IndexOf(args, name) is var at and >= 0 ? args[at + 1] : fallback;

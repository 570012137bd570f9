// The C# side of the DDP throughput comparison; benchmarks/ddp_peer.py is its twin, line by line. The same batch on every
// process, so one process and two do the same work each and the difference is the cost of distributing.
//
//   accelerate launch --cpu --num_processes 2 benchmarks/DdpThroughput
//       [--steps 40] [--warm-up 5] [--batch 8] [--context 128] [--width 256] [--layers 4] [--heads 8]
//
// Prints one line of JSON on rank 0.

using System.Diagnostics;
using System.Text.Json;
using AccelerateSharp;
using AccelerateSharp.Benchmarks.DdpThroughput;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

var (steps, warmUp, batch, context) = (Option("--steps", 40), Option("--warm-up", 5), Option("--batch", 8), Option("--context", 128));
var (width, layers, heads, vocabulary) = (Option("--width", 256), Option("--layers", 4), Option("--heads", 8), Option("--vocabulary", 96));

var accelerator = new Accelerator(cpu: true);
Accelerator.SetSeed(0);
var model = new Gpt(vocabulary, context, width, layers, heads);
var optimizer = optim.AdamW(model.parameters(), lr: 1e-3);
(model, optimizer) = accelerator.Prepare(model, optimizer);
Accelerator.SetSeed(1, deviceSpecific: true);
var tokens = randint(0, vocabulary, [batch, context + 1], dtype: ScalarType.Int64);
var (inputs, targets) = (tokens[.., ..^1].contiguous(), tokens[.., 1..].reshape(-1));

var (times, cpuTimes) = (new List<double>(), new List<double>());
var last = 0f;
for (var step = 0; step < warmUp + steps; step++)
{
    var (started, cpu) = (Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime);
    using (NewDisposeScope())
    {
        optimizer.zero_grad();
        var loss = functional.cross_entropy(model.call(inputs).flatten(0, 1), targets);
        accelerator.Backward(loss);
        optimizer.step();
        if (step == warmUp + steps - 1) last = loss.item<float>();
    }
    if (step < warmUp) continue;
    times.Add(Stopwatch.GetElapsedTime(started).TotalMilliseconds);
    cpuTimes.Add((Environment.CpuUsage.TotalTime - cpu).TotalMilliseconds);
}

accelerator.OnMainProcess(() => Console.WriteLine(JsonSerializer.Serialize(new Dictionary<string, object>
{
    ["library"] = "AccelerateSharp, TorchSharp " + typeof(TorchSharp.torch).Assembly.GetName().Version,
    ["processes"] = accelerator.NumProcesses,
    ["threads"] = get_num_threads(),
    ["parameters"] = model.parameters().Sum(p => p.numel()),
    ["batch_per_process"] = batch,
    ["median_step_ms"] = Math.Round(Median(times), 2),
    ["median_cpu_ms"] = Math.Round(Median(cpuTimes), 2),
    ["samples_per_second"] = Math.Round(1000 * batch * accelerator.NumProcesses / Median(times), 2),
    ["loss"] = Math.Round(last, 4),
})));
accelerator.EndTraining();

int Option(string name, int fallback) => Array.IndexOf(args, name) is var at and >= 0 ? int.Parse(args[at + 1]) : fallback;

static double Median(List<double> values)
{
    var sorted = values.Order().ToArray();
    return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
}

using AccelerateSharp.Distributed;
using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>What each configuration stores and sends, weighed, beside what its report says.</summary>
internal static class PrecisionBytes
{
    private const int Width = 64;

    /// <summary>
    /// Arguments: <c>ddp</c> or <c>fsdp</c>, the precision, the dtype in which the model is loaded, and the row: weight, compute,
    /// gradient, reduction, one optimizer state.
    /// </summary>
    [Scenario]
    public static void PrecisionRow(WorkerContext context)
    {
        var (strategy, precision, loaded) = (context.Arguments[0], Enum.Parse<MixedPrecision>(context.Arguments[1]), Parse(context.Arguments[2]));
        var row = context.Arguments.Skip(3).ToArray();
        var accelerator = new Accelerator(
            cpu: true, mixedPrecision: precision, fsdpPlugin: strategy == "fsdp" ? new() : null,
            gradScaler: precision == MixedPrecision.FP16 ? new() { InitScale = 16 } : null);
        var made = nn.Sequential(nn.Linear(Width, Width, dtype: loaded), nn.Tanh(), nn.Linear(Width, Width, dtype: loaded));
        var parameters = made.parameters().Sum(parameter => parameter.numel());
        var (model, optimizer) = accelerator.Prepare(made, new FusedAdamW(made.parameters(), 1e-3));
        var sent = new List<(CollectiveKind Kind, ScalarType Dtype, long Count)>();
        var group = accelerator.EngineOf(model)?.Mesh.Shard ?? accelerator.ProcessGroup!;

        // The first pass learns the order of the gradients.
        Step();
        group.Observer = call => sent.Add((call.Kind, call.Dtype, call.Inputs.Concat(call.Outputs).Max(tensor => tensor.numel())));
        Step();
        group.Observer = null;

        var report = accelerator.PrecisionReport(model);
        Expect.Equal(1, report.Rows.Count, "rows of\n" + report);
        var states = $"{row[4]} + {row[4]}";
        var expected = new PrecisionReportRow(parameters, row[0], row[1], row[2], row[3], states);
        Expect.True(expected == report.Rows[0], $"{expected} is the row of\n{report}");

        var ranks = strategy == "fsdp" ? context.Size : 1;
        Weighs(Parse(row[0]), model.parameters(), "weights");
        Weighs(Parse(row[2]), model.parameters().Select(parameter => parameter.grad).OfType<Tensor>(), "gradients");
        // A rank that holds no part of a parameter has no state of it.
        var trained = model.parameters().Where(parameter => parameter.numel() > 0).ToList();
        Weighs(Parse(row[4]), trained.Select(parameter => optimizer.StateOf(parameter)["exp_avg"]), "first moments");
        Weighs(Parse(row[4]), trained.Select(parameter => optimizer.StateOf(parameter)["exp_avg_sq"]), "second moments");
        var reductions = sent.Where(call => call.Kind is CollectiveKind.ReduceScatter || (strategy == "ddp" && call.Kind is CollectiveKind.AllReduce && call.Count > 1)).ToList();
        Near(parameters * Size(Parse(row[3])), reductions.Sum(call => call.Count * Size(call.Dtype)), "sent gradients");
        if (strategy == "fsdp")
        {
            var gathers = sent.Where(call => call.Kind is CollectiveKind.AllGather).ToList();
            Expect.True(gathers.Count > 0 && gathers.All(call => call.Dtype == Parse(row[1])), $"weights are gathered in {row[1]}");
        }

        accelerator.EndTraining();

        void Step()
        {
            using var scope = NewDisposeScope();
            optimizer.zero_grad();
            accelerator.Backward(model.call(randn(4, Width, dtype: precision == MixedPrecision.No ? loaded : float32)).to(float32).pow(2).mean());
            optimizer.step();
        }

        void Weighs(ScalarType dtype, IEnumerable<Tensor> tensors, string what)
        {
            var bytes = tensors.Where(tensor => tensor.numel() > 0).GroupBy(TensorStorage.Address).Sum(shared => TensorStorage.ByteCount(shared.First()));
            Near(parameters * Size(dtype) / ranks, bytes, what);
        }

        // Padding, and a flag for each parameter.
        void Near(long expectedBytes, long bytes, string what) =>
            Expect.True(Math.Abs(bytes - expectedBytes) < 400, $"{what}: {bytes} bytes where {expectedBytes} are expected, {string.Join(" ", context.Arguments)}");
    }

    private static ScalarType Parse(string name) => name switch
    {
        "fp32" => float32,
        "bf16" => bfloat16,
        "fp16" => float16,
        _ => throw new ArgumentException($"There is no dtype '{name}'."),
    };

    private static int Size(ScalarType dtype) => dtype == float32 ? 4 : 2;
}

using System.Globalization;

namespace AccelerateSharp;

/// <summary>Which numbers a prepared model stores, computes with and sends: what is really there, by parameters that are alike.</summary>
/// <example><code>
/// Console.WriteLine(accelerator.PrecisionReport(model));
/// </code></example>
/// <param name="Title">Precision and strategy of the run.</param>
/// <param name="Rows">One for each kind of parameters, in the order of the model.</param>
public sealed record PrecisionReport(string Title, IReadOnlyList<PrecisionReportRow> Rows)
{
    /// <summary>The table as text.</summary>
    public override string ToString()
    {
        string[] head = ["parameters", "weight", "compute", "gradient", "reduction", "optimizer states"];
        string[][] lines =
        [
            head,
            .. Rows.Select(row => new[]
            {
                row.Parameters.ToString("N0", CultureInfo.InvariantCulture), row.Weight, row.Compute, row.Gradient ?? "-", row.Reduction ?? "-", row.OptimizerStates ?? "-",
            }),
        ];
        var widths = Enumerable.Range(0, head.Length).Select(column => lines.Max(line => line[column].Length)).ToArray();
        return string.Join('\n', lines.Select(line => string.Join("  ", line.Select((text, column) => text.PadRight(widths[column]))).TrimEnd()).Prepend(Title));
    }
}

/// <summary>Parameters that are stored, computed with and sent alike. Dtypes are written fp32, bf16, fp16, …</summary>
/// <param name="Parameters">Their number, over all ranks.</param>
/// <param name="Weight">What the optimizer changes: the master weights, of which a sharded model holds this rank's part. Weights in fp8 name theirs beside them.</param>
/// <param name="Compute">What matrix products read.</param>
/// <param name="Gradient">What the optimizer reads; null where nothing is trained.</param>
/// <param name="Reduction">What the ranks exchange to average gradients; null where nobody does.</param>
/// <param name="OptimizerStates">What the optimizer remembers of each parameter, joined by +; null without an optimizer, or before its first step.</param>
public sealed record PrecisionReportRow(long Parameters, string Weight, string Compute, string? Gradient, string? Reduction, string? OptimizerStates);

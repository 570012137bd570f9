using System.Globalization;
using AccelerateSharp.Estimation;
using AccelerateSharp.Estimation.Planning;
using Spectre.Console;

namespace AccelerateSharp.Cli.Estimation;

/// <summary>Shows an estimate as tables, for a terminal of 80 columns.</summary>
internal static class EstimateTables
{
    private const int NarrowestWidth = 80;
    private const double Gibi = 1L << 30;

    public static void Write(Estimate estimate)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Out) });
        // Where there is no terminal, nothing tells the width.
        if (Console.IsOutputRedirected) console.Profile.Width = NarrowestWidth;
        var model = estimate.Model;
        var largest = ReferenceEstimate.LargestLayer(model.Inventory);
        console.MarkupLineInterpolated($"[bold]{model.Name}[/]: {Count(model.Inventory.ParameterCount)} parameters; largest layer {largest.Name}");
        foreach (var note in model.Notes) console.MarkupLineInterpolated($"[dim]{note}[/]");
        console.WriteLine();
        console.Write(Loading(estimate));
        console.WriteLine();
        console.Write(Training(estimate));
        console.WriteLine();
        console.Write(Recipes(estimate));
        if (estimate.Request is not { } request) return;
        console.WriteLine();
        console.Write(Plans(estimate, request));
        console.WriteLine(Verdict(estimate, request));
    }

    private static Table Loading(Estimate estimate)
    {
        var table = New("Loading the model", "dtype", "largest layer", "total size");
        foreach (var row in estimate.Rows) table.AddRow(row.Dtype, MemoryText.Format(row.LargestLayer), MemoryText.Format(row.Total));
        return table;
    }

    private static Table Training(Estimate estimate)
    {
        var table = New("Training it with Adam, without activations", "dtype", "model", "gradients", "backward pass", "optimizer step", "highest");
        foreach (var (dtype, _, _, training) in estimate.Rows)
        {
            if (training is null) table.AddRow(dtype, "N/A", "N/A", "N/A", "N/A", "N/A");
            else
                table.AddRow(dtype, MemoryText.Format(training.Model), MemoryText.Format(training.Gradients), MemoryText.Format(training.BackwardPass),
                    MemoryText.Format(training.OptimizerStep), MemoryText.Format(training.Highest));
        }
        return table;
    }

    private static Table Recipes(Estimate estimate)
    {
        var table = New("Low-precision recipes, bytes per parameter", "recipe", "weight", "master", "gradient", "optimizer", "all", "total size");
        foreach (var (recipe, bytes) in estimate.Recipes)
        {
            table.AddRow(recipe.Name, Bytes(recipe.Weight), Bytes(recipe.Master), Bytes(recipe.Gradient), Bytes(recipe.Optimizer), Bytes(recipe.Total),
                MemoryText.Format(bytes));
        }
        return table;

        static string Bytes(int count) => count == 0 ? "–" : count.ToString(CultureInfo.InvariantCulture);
    }

    private static Table Plans(Estimate estimate, PlanRequest request)
    {
        var what = request.LoraRank is { } rank ? $"LoRA of rank {rank}" : "all parameters";
        var table = New(
            $"{request.Gpus} × {MemoryText.Format(request.GpuMemory)}, batch {request.BatchSize} × {request.SequenceLength}, "
            + $"{request.Optimizer.Name()}, {request.MixedPrecision}, {what}\nGiB on each GPU; host: GiB of each machine",
            "way to train", "param", "grad", "optim", "activ", "comm", "total", "host", "fits");
        table.Border(TableBorder.Simple);
        foreach (var column in table.Columns) column.Padding(0, 1);
        foreach (var plan in estimate.Plans)
        {
            table.AddRow(plan.Checkpointing ? "  + checkpointing" : plan.Strategy.Name(), Size(plan.Parameters), Size(plan.Gradients), Size(plan.Optimizer),
                plan.Activations is { } activations ? Size(activations) : "?", Size(plan.Communication), Size(plan.Total), Size(plan.Host),
                plan == estimate.Fastest ? "best" : plan.Fits ? "yes" : "no");
        }
        return table;

        static string Size(double bytes) => bytes == 0 ? "–"
            : (bytes / Gibi).ToString(bytes >= 1000 * Gibi ? "0" : bytes >= 100 * Gibi ? "0.0" : "0.00", CultureInfo.InvariantCulture);
    }

    private static string Verdict(Estimate estimate, PlanRequest request)
    {
        var usable = $"Each GPU has {MemoryText.Format(request.UsableMemory)} for it, after 1 GiB for CUDA and 5 % for fragmentation.";
        var unknown = estimate.Plans.Any(plan => plan.Activations is null) ? " Activations are not counted." : "";
        return estimate.Fastest is { } plan
            ? $"{usable}{unknown}\nThe fastest that fits: {plan.Name}."
            : $"{usable}{unknown}\nNothing fits; {estimate.Plans.MinBy(candidate => candidate.Total)!.Name} needs least. Use more or larger GPUs, a smaller batch, adamw_8bit or LoRA.";
    }

    private static Table New(string title, params string[] columns)
    {
        var table = new Table().Border(TableBorder.Rounded).Title(new TableTitle(Markup.Escape(title)));
        foreach (var column in columns)
        {
            var header = new TableColumn(column).NoWrap();
            table.AddColumn(column == columns[0] ? header : header.RightAligned());
        }
        return table;
    }

    private static string Count(long count) => count switch
    {
        >= 1_000_000_000 => (count / 1e9).ToString("0.00", CultureInfo.InvariantCulture) + " billion",
        >= 1_000_000 => (count / 1e6).ToString("0.0", CultureInfo.InvariantCulture) + " million",
        _ => count.ToString("N0", CultureInfo.InvariantCulture),
    };
}

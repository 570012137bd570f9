using System.Text.Json;
using AccelerateSharp.Estimation;
using AccelerateSharp.Estimation.Planning;

namespace AccelerateSharp.Cli.Estimation;

/// <summary>Writes an estimate as JSON; all sizes are in bytes.</summary>
internal static class EstimateJson
{
    public static void Write(Estimate estimate)
    {
        using var output = Console.OpenStandardOutput();
        using (var writer = new Utf8JsonWriter(output, new JsonWriterOptions { Indented = true }))
        {
            writer.WriteStartObject();
            writer.WriteString("model", estimate.Model.Name);
            writer.WriteString("architecture", estimate.Model.Inventory.Architecture);
            writer.WriteNumber("parameters", estimate.Model.Inventory.ParameterCount);
            WriteArray(writer, "notes", estimate.Model.Notes, note => writer.WriteStringValue(note));
            WriteArray(writer, "dtypes", estimate.Rows, row => WriteRow(writer, row));
            WriteArray(writer, "recipes", estimate.Recipes, entry => WriteRecipe(writer, entry.Recipe, entry.Bytes));
            if (estimate.Request is { } request)
            {
                writer.WriteNumber("usable_gpu_memory", request.UsableMemory);
                WriteArray(writer, "plans", estimate.Plans, plan => WritePlan(writer, plan, plan == estimate.Fastest));
            }
            writer.WriteEndObject();
        }
        output.Write("\n"u8);
    }

    private static void WriteRow(Utf8JsonWriter writer, EstimateRow row)
    {
        writer.WriteStartObject();
        writer.WriteString("dtype", row.Dtype);
        Bytes(writer, "largest_layer", row.LargestLayer);
        Bytes(writer, "total_size", row.Total);
        if (row.Training is { } training)
        {
            writer.WriteStartObject("training");
            Bytes(writer, "model", training.Model);
            Bytes(writer, "gradients", training.Gradients);
            Bytes(writer, "backward_pass", training.BackwardPass);
            Bytes(writer, "optimizer_step", training.OptimizerStep);
            Bytes(writer, "highest", training.Highest);
            writer.WriteEndObject();
        }
        writer.WriteEndObject();
    }

    private static void WriteRecipe(Utf8JsonWriter writer, PrecisionRecipe recipe, double bytes)
    {
        writer.WriteStartObject();
        writer.WriteString("recipe", recipe.Name);
        writer.WriteNumber("bytes_per_parameter", recipe.Total);
        Bytes(writer, "total_size", bytes);
        writer.WriteEndObject();
    }

    private static void WritePlan(Utf8JsonWriter writer, MemoryPlan plan, bool isFastest)
    {
        writer.WriteStartObject();
        writer.WriteString("strategy", plan.Strategy.Name());
        writer.WriteBoolean("activation_checkpointing", plan.Checkpointing);
        Bytes(writer, "parameters", plan.Parameters);
        Bytes(writer, "gradients", plan.Gradients);
        Bytes(writer, "optimizer", plan.Optimizer);
        if (plan.Activations is { } activations) Bytes(writer, "activations", activations);
        else writer.WriteNull("activations");
        Bytes(writer, "communication", plan.Communication);
        Bytes(writer, "total", plan.Total);
        Bytes(writer, "host_memory", plan.Host);
        writer.WriteBoolean("fits", plan.Fits);
        writer.WriteBoolean("fastest", isFastest);
        writer.WriteEndObject();
    }

    private static void WriteArray<T>(Utf8JsonWriter writer, string name, IEnumerable<T> items, Action<T> write)
    {
        writer.WriteStartArray(name);
        foreach (var item in items) write(item);
        writer.WriteEndArray();
    }

    private static void Bytes(Utf8JsonWriter writer, string name, double bytes) => writer.WriteNumber(name, (decimal)Math.Ceiling(bytes));
}

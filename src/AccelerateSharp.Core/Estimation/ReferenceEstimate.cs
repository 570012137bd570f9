namespace AccelerateSharp.Estimation;

/// <summary>What training takes in each phase, in bytes.</summary>
internal sealed record TrainingPhases(double Model, double Gradients, double BackwardPass, double OptimizerStep)
{
    public double Highest => Math.Max(Math.Max(Model, Gradients), Math.Max(BackwardPass, OptimizerStep));
}

/// <summary>A row of the estimate.</summary>
/// <param name="Dtype">The name of the dtype.</param>
/// <param name="LargestLayer">The largest layer, in bytes.</param>
/// <param name="Total">The whole model, in bytes.</param>
/// <param name="Training">Training with Adam, or null where one does not train in this dtype.</param>
internal sealed record EstimateRow(string Dtype, double LargestLayer, double Total, TrainingPhases? Training);

/// <summary>The reference's formula: the base model, its buffers, and training it with Adam, without activations.</summary>
internal static class ReferenceEstimate
{
    private static readonly (string Name, int Divisor)[] _dtypes = [("float32", 1), ("float16", 2), ("bfloat16", 2), ("int8", 4), ("int4", 8)];

    /// <summary>The dtypes that may be asked for.</summary>
    public static IReadOnlyList<string> Dtypes { get; } = [.. _dtypes.Select(dtype => dtype.Name)];

    /// <summary>What is shown when none is asked for.</summary>
    public static IReadOnlyList<string> DefaultDtypes { get; } = ["float32", "float16", "int8", "int4"];

    public static IReadOnlyList<EstimateRow> Rows(ModelInventory model, IEnumerable<string> dtypes)
    {
        var total = TotalBytes(model);
        var largest = LargestLayer(model).Bytes;
        return [.. dtypes.Select(name =>
        {
            double divisor = _dtypes.First(dtype => dtype.Name == name).Divisor;
            return new EstimateRow(name, largest / divisor, total / divisor, Training(divisor, total));
        })];
    }

    /// <summary>The size of the base model in float32, in bytes.</summary>
    public static long TotalBytes(ModelInventory model) => Counted(model).Sum(tensor => tensor.ByteCount);

    /// <summary>The largest part that cannot be split over devices.</summary>
    public static (string Name, long Bytes) LargestLayer(ModelInventory model) =>
        Counted(model).GroupBy(tensor => tensor.Layer).Select(layer => (Name: layer.Key, Bytes: layer.Sum(tensor => tensor.ByteCount)))
            .OrderByDescending(layer => layer.Bytes).FirstOrDefault((Name: "", Bytes: 0L));

    private static IEnumerable<ModelTensor> Counted(ModelInventory model) => model.Tensors.Where(tensor => tensor.Role != TensorRole.HeadParameter);

    // Mixed precision keeps the weights in float32 and adds gradients of half the size to those in float32, but computes its step in place.
    private static TrainingPhases? Training(double divisor, long bytes) => divisor switch
    {
        1 => new TrainingPhases(bytes, bytes, 2d * bytes, 4d * bytes),
        2 => new TrainingPhases(bytes, bytes + bytes / 2, 2d * bytes, 2d * bytes),
        _ => null,
    };
}

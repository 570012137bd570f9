namespace AccelerateSharp.Estimation.Planning;

/// <summary>What a model comes to under a request, before it is spread: numbers of elements, and bytes where the name says so.</summary>
internal sealed class TrainingSizes
{
    public TrainingSizes(ModelInventory model, PlanRequest request)
    {
        BufferBytes = model.Tensors.Where(tensor => tensor.Role == TensorRole.Buffer).Sum(tensor => tensor.ByteCount);
        var blocks = new Dictionary<string, (double All, double Trainable)>();
        foreach (var tensor in model.Parameters)
        {
            double count = tensor.ElementCount, trainable = 0;
            foreach (var shape in TrainableShapes(tensor, request.LoraRank))
            {
                var elements = (double)shape.Aggregate(1L, (product, extent) => checked(product * extent));
                trainable += elements;
                OptimizerBytes += request.Optimizer.StateBytes(shape);
            }
            if (request.LoraRank is null)
            {
                All += count;
            }
            else
            {
                All += count + trainable;
                Frozen += count;
                count += trainable;
            }
            Trainable += trainable;
            if (!tensor.Layer.AsSpan().ContainsAnyInRange('0', '9')) continue;
            var block = blocks.GetValueOrDefault(tensor.Layer);
            blocks[tensor.Layer] = (block.All + count, block.Trainable + trainable);
        }
        Root = All - blocks.Values.Sum(block => block.All);
        RootTrainable = Trainable - blocks.Values.Sum(block => block.Trainable);
        if (blocks.Count > 0) (Block, BlockTrainable) = (blocks.Values.Max(block => block.All), blocks.Values.Max(block => block.Trainable));
        // Frozen weights need no master copy: they are loaded in the dtype of the computation.
        WeightBytes = 4 * Trainable + request.ComputeBytes * Frozen;
    }

    /// <summary>All parameters, with adapters.</summary>
    public double All { get; }

    public double Trainable { get; }

    public double Frozen { get; }

    /// <summary>The parameters of the largest block.</summary>
    public double Block { get; }

    public double BlockTrainable { get; }

    /// <summary>The parameters outside of blocks.</summary>
    public double Root { get; }

    public double RootTrainable { get; }

    public double BufferBytes { get; }

    /// <summary>The parameters as they are kept.</summary>
    public double WeightBytes { get; }

    public double OptimizerBytes { get; }

    private static IEnumerable<long[]> TrainableShapes(ModelTensor tensor, int? loraRank)
    {
        if (loraRank is not { } rank) return [tensor.Shape];
        return tensor.IsAdaptable ? [[rank, tensor.Shape[1]], [tensor.Shape[0], rank]] : [];
    }
}

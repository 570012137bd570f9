using AccelerateSharp.BigModel;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>Parameters without values, from <see cref="BigModeling.InitEmptyWeights"/>: they come from rank 0, from a checkpoint, or are made in place.</summary>
internal static class EmptyParameters
{
    /// <summary>Whether a tensor has a shape only: it is on the meta device, or stands on a single element as those of native modules do.</summary>
    public static bool HasNoValues(Tensor tensor) => tensor.is_meta || (tensor.numel() > 1 && tensor.stride().All(static stride => stride == 0));

    /// <summary>Makes tensors of the meta device such that their memory can be exchanged in place: all of one element, which costs nothing.</summary>
    /// <exception cref="ArgumentException">A buffer has no values and nobody will send any.</exception>
    public static void MakeExchangeable(Module model, Device device, bool valuesFollow)
    {
        using var noGrad = no_grad();
        foreach (var tensor in ModelTensors.Of(model).Where(tensor => tensor.Value.is_meta))
        {
            using var scope = NewDisposeScope();
            if (tensor.IsParameter)
            {
                tensor.Put(zeros(1, tensor.Dtype, CPU).expand(tensor.Shape));
                continue;
            }

            if (!valuesFollow) throw new ArgumentException($"Sharding: buffer '{tensor.Name}' is on the meta device on rank 0, so it has no values. Build the model with InitEmptyWeights(..., includeBuffers: false).", nameof(model));
            tensor.Put(zeros(tensor.Shape, tensor.Dtype, device));
        }
    }
}

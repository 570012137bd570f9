using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel;

/// <summary>The buffers of a model (batch-norm statistics and the like), kept as rank 0 has them.</summary>
internal sealed class ModelBuffers(Module model, ProcessGroup group)
{
    private const int Root = 0;

    /// <summary>Overwrites this rank's buffers with those of rank 0: one collective for each dtype.</summary>
    public void Broadcast()
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        FlatBroadcast([.. model.buffers()], group, Root);
    }

    /// <summary>Sends tensors of the same dtype and device as one.</summary>
    public static void FlatBroadcast(IReadOnlyList<Tensor> tensors, ProcessGroup group, int root)
    {
        foreach (var kind in tensors.Where(tensor => tensor.numel() > 0).GroupBy(tensor => (tensor.dtype, Device: tensor.device.ToString())))
        {
            var members = kind.ToList();
            var flat = cat([.. members.Select(tensor => tensor.detach().reshape(-1))]);
            group.Broadcast(flat, root);
            if (group.Rank == root) continue;
            var offset = 0L;
            foreach (var tensor in members)
            {
                tensor.detach().copy_(flat.narrow(0, offset, tensor.numel()).view(tensor.shape));
                offset += tensor.numel();
            }
        }
    }
}

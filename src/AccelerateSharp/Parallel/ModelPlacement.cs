using System.Security.Cryptography;
using System.Text;
using AccelerateSharp.Internal.Interop;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel;

/// <summary>Brings a model to its device and all ranks to the same weights.</summary>
internal static class ModelPlacement
{
    /// <summary>Weights sent at once: enough to fill the wire, little beside the model.</summary>
    private const long BroadcastBytes = 256L << 20;

    /// <summary>Moves parameters and buffers in place.</summary>
    /// <remarks>
    /// TorchSharp's own <c>to</c> makes new parameter objects, and an optimizer made before would go on training the old ones.
    /// Here the parameter stays the same object and only its memory moves.
    /// </remarks>
    public static void MoveTo(Module model, Device device)
    {
        using var noGrad = no_grad();
        foreach (var tensor in model.parameters().Concat(model.buffers()))
        {
            if (tensor.device_type == device.type && (tensor.device_index == device.index || device.index < 0)) continue;
            using var moved = tensor.detach().to(device);
            TensorStorage.SetData(tensor, moved);
        }

        if (device.type == DeviceType.CUDA) FlattenRecurrent(model);
    }

    /// <summary>cuDNN wants the weights of a recurrent layer in one piece of memory, and would otherwise copy them at every call.</summary>
    private static void FlattenRecurrent(Module model)
    {
        foreach (var module in model.modules())
        {
            switch (module)
            {
                case LSTM lstm: lstm.flatten_parameters(); break;
                case GRU gru: gru.flatten_parameters(); break;
                case RNN rnn: rnn.flatten_parameters(); break;
            }
        }
    }

    /// <summary>Checks that all ranks hold the same architecture, then gives all of them rank 0's weights.</summary>
    /// <exception cref="InvalidOperationException">The models differ; the message names the first parameter that does.</exception>
    public static void Synchronize(Module model, ProcessGroup group)
    {
        var named = model.named_parameters().Select(item => (item.name, Tensor: (Tensor)item.parameter))
            .Concat(model.named_buffers().Select(item => (item.name, Tensor: item.buffer))).ToList();
        CheckSameArchitecture(named.Select(item => Describe(item.name, item.Tensor)).ToArray(), group);
        using var noGrad = no_grad();
        for (var start = 0; start < named.Count;)
        {
            using var scope = NewDisposeScope();
            var end = start;
            for (var bytes = 0L; end < named.Count && bytes < BroadcastBytes; end++) bytes += named[end].Tensor.numel() * named[end].Tensor.element_size();
            ModelBuffers.FlatBroadcast([.. named[start..end].Select(item => item.Tensor)], group, root: 0);
            start = end;
        }
    }

    private static string Describe(string name, Tensor tensor) => $"{name} {tensor.dtype} [{string.Join(", ", tensor.shape)}]{(tensor.requires_grad ? "" : " frozen")}";

    private static void CheckSameArchitecture(string[] mine, ProcessGroup group)
    {
        var hash = Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', mine))));
        var hashes = group.AllGatherObject(hash);
        var other = hashes.ToList().FindIndex(theirs => theirs != hashes[0]);
        if (other < 0) return;
        var all = group.AllGatherObject(mine);
        var first = Enumerable.Range(0, Math.Max(all[0].Length, all[other].Length))
            .Select(i => (Main: all[0].ElementAtOrDefault(i) ?? "nothing", Other: all[other].ElementAtOrDefault(i) ?? "nothing"))
            .First(pair => pair.Main != pair.Other);
        throw new InvalidOperationException(
            $"Accelerator.Prepare, rank {group.Rank}: the model is not the same on all ranks; where rank 0 has '{first.Main}', rank {other} has '{first.Other}'."
            + " Build the model from the same settings on every rank.");
    }
}

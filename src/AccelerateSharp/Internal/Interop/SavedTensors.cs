using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Tensors that wait for backward, out of every dispose scope, owned by the autograd node that needs them.</summary>
internal sealed class SavedTensors : IDisposable
{
    private Tensor[]? _tensors = [];

    internal bool IsDisposed => _tensors is null;

    internal void Keep(IEnumerable<Tensor> tensors) => _tensors = [.. _tensors!, .. tensors.Select(tensor => tensor.DetachFromDisposeScope())];

    public void Dispose()
    {
        foreach (var tensor in Interlocked.Exchange(ref _tensors, null) ?? []) tensor.Dispose();
    }
}

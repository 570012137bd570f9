using static TorchSharp.torch;

namespace AccelerateSharp.Distributed;

/// <summary>One checked operation on its way to a backend: raw, contiguous tensors that nobody else can dispose.</summary>
/// <remarks>
/// Where the tensors are, by kind:
/// <list type="bullet">
/// <item>all-reduce, reduce, broadcast: <c>Outputs[0]</c>, in place (reduce must leave it untouched on ranks that are not the root);</item>
/// <item>all-gather: <c>Inputs[0]</c> into the flat <c>Outputs[0]</c>; uneven: into <c>Outputs[r]</c> for each rank r, <c>Outputs[Rank]</c> included;</item>
/// <item>reduce-scatter: the flat <c>Inputs[0]</c> into <c>Outputs[0]</c>;</item>
/// <item>all-to-all: <c>Inputs[0]</c> to <c>Outputs[0]</c>, cut by <see cref="InputSplits"/> and <see cref="OutputSplits"/>;</item>
/// <item>gather: <c>Inputs[0]</c> into <c>Outputs[r]</c> on the root; scatter: <c>Inputs[r]</c> of the root into <c>Outputs[0]</c>;</item>
/// <item>send: <c>Inputs[0]</c>; receive: <c>Outputs[0]</c>.</item>
/// </list>
/// A backend calls <see cref="CopyBack"/> once when the results are there (on the stream that produced them), then <see cref="Release"/>.
/// </remarks>
internal sealed class CollectiveCall
{
    private readonly List<(Tensor Target, Tensor Staging)> _copyBacks = [];
    private readonly List<Tensor> _owned = [];

    public required CollectiveKind Kind { get; init; }

    /// <summary>The position among the group's operations, from 1; point-to-point operations have their own count for each peer and tag.</summary>
    public long SequenceNumber { get; set; }

    public ReduceOp ReduceOp { get; init; }

    /// <summary>Root of a rooted operation or peer of a point-to-point one, as rank within the group; -1 where there is none.</summary>
    public int Root { get; init; } = -1;

    public int Tag { get; init; }

    public ScalarType Dtype { get; init; } = ScalarType.Byte;

    /// <summary>The shape that the ranks must agree on: that of the user's (first) tensor.</summary>
    public long[] Shape { get; init; } = [];

    public IReadOnlyList<Tensor> Inputs { get; set; } = [];

    public IReadOnlyList<Tensor> Outputs { get; set; } = [];

    /// <summary>All-to-all: how many elements go to each rank; empty elsewhere.</summary>
    public long[] InputSplits { get; init; } = [];

    /// <summary>All-to-all: how many elements come from each rank; uneven all-gather: the elements of each output; empty elsewhere.</summary>
    public long[] OutputSplits { get; init; } = [];

    /// <summary>Whether <see cref="CopyBack"/> has something to do.</summary>
    public bool NeedsCopyBack => _copyBacks.Count > 0;

    public bool IsPointToPoint => Kind is CollectiveKind.Send or CollectiveKind.Receive;

    /// <summary>Takes an input: its own alias, contiguous.</summary>
    public Tensor TakeInput(Tensor tensor)
    {
        var alias = Own(tensor.detach());
        return alias.is_contiguous() ? alias : Own(alias.contiguous());
    }

    /// <summary>Takes a tensor to be written: its own alias, or a contiguous copy that <see cref="CopyBack"/> writes home.</summary>
    public Tensor TakeOutput(Tensor tensor, bool isRead)
    {
        var alias = Own(tensor.detach());
        if (alias.is_contiguous()) return alias;
        var staging = Own(isRead ? alias.contiguous() : empty(alias.shape, alias.dtype, alias.device));
        _copyBacks.Add((alias, staging));
        return staging;
    }

    /// <summary>Writes results of non-contiguous tensors where the user expects them.</summary>
    public void CopyBack()
    {
        if (_copyBacks.Count == 0) return;
        using var noGrad = no_grad();
        foreach (var (target, staging) in _copyBacks) target.copy_(staging).DetachFromDisposeScope();
    }

    /// <summary>Lets go of the tensors. Called once, when nothing reads or writes them any more.</summary>
    public void Release()
    {
        foreach (var tensor in _owned) tensor.Dispose();
        _owned.Clear();
        _copyBacks.Clear();
        Inputs = [];
        Outputs = [];
    }

    private Tensor Own(Tensor tensor)
    {
        _owned.Add(tensor.DetachFromDisposeScope());
        return tensor;
    }
}

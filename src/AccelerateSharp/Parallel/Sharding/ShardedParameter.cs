using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Parallel.Swap;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>One parameter of the model inside a flat buffer, and the part of it that this rank keeps.</summary>
/// <remarks>
/// Between steps the <see cref="Parameter"/> object itself is that part, in one dimension, so that every optimizer steps on it;
/// while its unit computes, the modules see the whole parameter in its shape.
/// </remarks>
internal sealed class ShardedParameter(ParameterSlot slot, long offset)
{
    private Tensor? _held;

    public ParameterSlot Slot { get; } = slot;

    public Parameter Parameter { get; } = slot.Parameter;

    public string Name => Slot.Name;

    /// <summary>The shape that the model knows.</summary>
    public long[] Shape { get; } = slot.Parameter.shape;

    /// <summary>The dtype before it was sharded: what checkpoints without master weights would have.</summary>
    public ScalarType OriginalDtype { get; } = slot.Parameter.dtype;

    public long Count { get; } = slot.Parameter.numel();

    /// <summary>First element in the flat buffer.</summary>
    public long Offset { get; } = offset;

    /// <summary>First element of this rank's part, counted inside the parameter.</summary>
    public long LocalStart { get; private set; }

    /// <summary>Elements of this rank's part; zero where the parameter lies wholly on others.</summary>
    public long LocalCount { get; private set; }

    /// <summary>This rank's part: a view of the shard.</summary>
    public Tensor Local { get; private set; } = null!;

    /// <summary>Whether it was given without values, on the meta device, on this rank.</summary>
    public bool IsEmpty { get; } = EmptyParameters.HasNoValues(slot.Parameter);

    /// <summary>Whether no rank has given it values yet.</summary>
    public bool LacksValues { get; set; }

    /// <summary>This rank's part in a file; null where it is in memory.</summary>
    public PagedField? Page { get; set; }

    /// <summary>Whether a gradient has arrived on this rank since the last reduction.</summary>
    public bool HasGradient { get; set; }

    /// <summary>Whether a gradient is kept that the next one is added to.</summary>
    public bool IsHolding => _held is not null;

    /// <summary>Takes the part that lies inside a rank's shard and makes the parameter that.</summary>
    /// <param name="shard">This rank's part of the flat buffer.</param>
    /// <param name="shardStart">Its first element in the flat buffer.</param>
    public void PointAt(Tensor shard, long shardStart)
    {
        var start = Math.Clamp(shardStart, Offset, Offset + Count);
        var end = Math.Clamp(shardStart + shard.numel(), Offset, Offset + Count);
        (LocalStart, LocalCount) = (start - Offset, end - start);
        Local?.Dispose();
        using var noGrad = no_grad();
        Local = shard.narrow(0, LocalCount == 0 ? 0 : start - shardStart, LocalCount).DetachFromDisposeScope();
        Restore();
    }

    /// <summary>Makes the parameter this rank's part again, after a native module computed with the whole.</summary>
    public void Restore()
    {
        using var noGrad = no_grad();
        TensorStorage.SetData(Parameter, Local);
    }

    /// <summary>This rank's piece of a tensor that is laid out like the shard.</summary>
    public Tensor Piece(Tensor shard, long shardStart) => shard.narrow(0, LocalCount == 0 ? 0 : Offset + LocalStart - shardStart, LocalCount);

    /// <summary>Takes the gradient out of the optimizer's sight; the next one is added to it.</summary>
    public void Withdraw()
    {
        var visible = Parameter.grad;
        if (visible is null) return;
        Parameter.grad = null;
        visible.DetachFromDisposeScope();
        if (_held is null)
        {
            _held = visible;
            return;
        }

        _held.add_(visible);
        visible.Dispose();
    }

    /// <summary>Adds this rank's piece of a reduced gradient; it stays hidden until <see cref="Show"/>.</summary>
    public void Add(Tensor gradient)
    {
        if (_held is null) _held = gradient.alias().DetachFromDisposeScope();
        else _held.add_(gradient);
    }

    /// <summary>Lets the optimizer see the gradient.</summary>
    public void Show()
    {
        if (_held is null) return;
        Parameter.grad = _held;
        _held.Dispose();
        _held = null;
    }

    public void Dispose()
    {
        _held?.Dispose();
        _held = null;
        Local.Dispose();
    }
}

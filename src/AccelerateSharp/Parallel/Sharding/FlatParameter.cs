using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>Parameters of one unit that are gathered, freed and reduced together: one buffer, divided evenly between the ranks.</summary>
/// <remarks>
/// The parameters lie one after the other, so that the gathered buffer needs no copy to be used: each is a view of it. A buffer has
/// one storage dtype and is trained as a whole or not at all; a unit of mixed parameters has several.
/// </remarks>
internal sealed class FlatParameter : IDisposable
{
    /// <summary>Elements to which each parameter's start is aligned: 16 bytes in bf16, which fast kernels ask for.</summary>
    private const int Alignment = 8;

    private readonly ShardingMesh _mesh;
    private readonly Device _device;
    private readonly ScalarType _reduceDtype;
    private readonly bool _reducesEveryBatch;
    private Tensor? _full;
    private Tensor? _storage;
    private Tensor? _gradient;
    private Work? _gather;

    /// <param name="slots">The parameters, of one dtype, all trainable or none.</param>
    /// <param name="mesh">Who shares the buffer.</param>
    /// <param name="options">Dtypes.</param>
    /// <param name="device">Where the unit computes.</param>
    public FlatParameter(IReadOnlyList<ParameterSlot> slots, ShardingMesh mesh, ShardingOptions options, Device device)
    {
        (_mesh, _device) = (mesh, device);
        var dtype = slots[0].Parameter.dtype;
        var isFloat = slots[0].Parameter.is_floating_point();
        IsTrainable = slots[0].Parameter.requires_grad;
        Dtype = IsTrainable && options.MasterWeights && isFloat ? ScalarType.Float32 : dtype;
        ComputeDtype = isFloat ? options.ParameterDtype ?? dtype : dtype;
        _reduceDtype = options.ReduceDtype ?? ComputeDtype;
        _reducesEveryBatch = options.ReduceEveryBatch;
        var offset = 0L;
        var parameters = new List<ShardedParameter>();
        foreach (var slot in slots)
        {
            parameters.Add(new ShardedParameter(slot, offset));
            offset = RoundUp(offset + slot.Parameter.numel(), Alignment);
        }

        Parameters = parameters;
        Count = RoundUp(offset, Alignment * (long)mesh.ShardCount);
        ShardSize = Count / mesh.ShardCount;
        Views = [];
    }

    public IReadOnlyList<ShardedParameter> Parameters { get; }

    public bool IsTrainable { get; }

    /// <summary>The dtype of the shard, and so of the optimizer's state.</summary>
    public ScalarType Dtype { get; }

    /// <summary>The dtype of the gathered buffer.</summary>
    public ScalarType ComputeDtype { get; }

    /// <summary>Elements of the whole buffer, padding included.</summary>
    public long Count { get; }

    /// <summary>Elements of this rank's part.</summary>
    public long ShardSize { get; }

    /// <summary>This rank's part; what the optimizer trains.</summary>
    public Tensor Shard { get; private set; } = null!;

    /// <summary>The whole parameters, in their shapes; valid while <see cref="IsGathered"/>.</summary>
    public IReadOnlyList<Tensor> Views { get; private set; }

    /// <summary>Whether the whole buffer is in memory, or on its way.</summary>
    public bool IsGathered { get; private set; }

    /// <summary>Where nobody else has a part and no cast is needed the shard itself is what computes.</summary>
    public bool IsWhole => _mesh.Shard is null && Dtype == ComputeDtype && SameDevice(Shard.device, _device);

    /// <summary>Bytes of the gathered buffer, as its storage has them now.</summary>
    public long GatheredBytes => IsWhole || _storage is null || !IsGathered ? 0 : TensorStorage.ByteCount(_storage);

    /// <summary>Bytes of gradients that wait for their reduction.</summary>
    public long PendingGradientBytes => _gradient is null ? 0 : TensorStorage.ByteCount(_gradient);

    private long ShardStart => ShardSize * _mesh.ShardIndex;

    /// <summary>Takes the parameters' values, rank 0's where asked for, and makes the parameters this rank's parts.</summary>
    public void TakeValues(bool fromRank0)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        Shard = empty(ShardSize, Dtype, _device).DetachFromDisposeScope();
        if (fromRank0 && _mesh.World is { } world)
        {
            var whole = zeros(Count, Dtype, _device);
            if (world.Rank == 0) Fill(whole, 0);
            world.Broadcast(whole, root: 0);
            Shard.copy_(whole.narrow(0, ShardStart, ShardSize));
        }
        else
        {
            Shard.zero_();
            Fill(Shard, ShardStart);
        }

        foreach (var parameter in Parameters) parameter.PointAt(Shard, ShardStart);
    }

    /// <summary>Starts bringing the whole buffer together, over whatever it held.</summary>
    public void Gather()
    {
        if (IsWhole)
        {
            if (Views.Count == 0) Views = ViewsOf(Shard);
            IsGathered = true;
            return;
        }

        Wait();
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        Allocate();
        // In place: this rank's part is cast to where the gather expects it. Not through the views' own tensor, whose version would move.
        var mine = _storage!.narrow(0, ShardStart, ShardSize);
        mine.copy_(Shard, true);
        IsGathered = true;
        _gather = _mesh.Shard?.AllGatherAsync(_storage, mine);
    }

    /// <summary>Orders what this thread computes next behind the gather.</summary>
    public void Wait()
    {
        var gather = _gather;
        _gather = null;
        gather?.Wait();
    }

    /// <summary>Gives the whole buffer's memory back. What autograd saved of it is valid again after the next gather.</summary>
    public void Free()
    {
        if (!IsGathered) return;
        Wait();
        IsGathered = false;
        if (!IsWhole) TensorStorage.Free(_storage!);
    }

    /// <summary>Copies, or adds, gradients of whole parameters to those that wait for the reduction.</summary>
    /// <param name="gradients">One for each parameter, in its shape; null where there is none.</param>
    public void AddGradients(IReadOnlyList<Tensor?> gradients)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var isFirst = _gradient is null;
        var gradient = _gradient ??= empty(Count, _reduceDtype, _device).DetachFromDisposeScope();
        var end = 0L;
        for (var i = 0; i < Parameters.Count; i++)
        {
            var parameter = Parameters[i];
            var target = gradient.narrow(0, parameter.Offset, parameter.Count);
            if (isFirst && parameter.Offset > end) gradient.narrow(0, end, parameter.Offset - end).zero_();
            end = parameter.Offset + parameter.Count;
            if (gradients[i] is not { } arrived)
            {
                if (isFirst) target.zero_();
                continue;
            }

            parameter.HasGradient = true;
            if (isFirst) target.view(parameter.Shape).copy_(arrived);
            else target.view(parameter.Shape).add_(arrived);
        }

        if (isFirst && end < Count) gradient.narrow(0, end, Count - end).zero_();
    }

    /// <summary>The gradients that wait, for the reduction to take over.</summary>
    public Tensor? TakeGradients()
    {
        var gradient = _gradient;
        _gradient = null;
        return gradient;
    }

    /// <summary>Gives each parameter its piece of a reduced shard, in the shard's dtype and on its device.</summary>
    public void Distribute(Tensor reduced)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var gradient = reduced.to(Dtype).to(Shard.device);
        foreach (var parameter in Parameters)
        {
            if (parameter.LocalCount == 0 || !parameter.Parameter.requires_grad) continue;
            var piece = parameter.Piece(gradient, ShardStart);
            // No gradient here: did another rank have one? A parameter that nobody used keeps none, as on one process.
            if (!parameter.HasGradient && piece.count_nonzero().item<long>() == 0) continue;
            parameter.Add(piece);
        }

        foreach (var parameter in Parameters) parameter.HasGradient = false;
    }

    public void Dispose()
    {
        foreach (var view in Views) view.Dispose();
        foreach (var parameter in Parameters) parameter.Dispose();
        _gradient?.Dispose();
        _storage?.Dispose();
        _full?.Dispose();
        Shard.Dispose();
    }

    private static bool SameDevice(Device a, Device b) => a.type == b.type && (a.index == b.index || a.index < 0 || b.index < 0);

    private static long RoundUp(long value, long unit) => (value + unit - 1) / unit * unit;

    private void Allocate()
    {
        if (_full is null)
        {
            _full = empty(Count, ComputeDtype, _device).DetachFromDisposeScope();
            _storage = TensorStorage.ControlOf(_full).DetachFromDisposeScope();
            Views = ViewsOf(_full);
        }
        else if (!IsGathered)
        {
            TensorStorage.Allocate(_storage!, Count);
        }
    }

    private List<Tensor> ViewsOf(Tensor full)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        return [.. Parameters.Select(parameter => full.narrow(0, parameter.Offset, parameter.Count).view(parameter.Shape).detach().DetachFromDisposeScope())];
    }

    /// <summary>Copies what the parameters hold into a piece of the buffer that begins at <paramref name="start"/>.</summary>
    private void Fill(Tensor target, long start)
    {
        foreach (var parameter in Parameters)
        {
            var from = Math.Max(parameter.Offset, start);
            var to = Math.Min(parameter.Offset + parameter.Count, start + target.numel());
            if (to <= from) continue;
            target.narrow(0, from - start, to - from).copy_(parameter.Parameter.detach().reshape(-1).narrow(0, from - parameter.Offset, to - from));
        }
    }
}

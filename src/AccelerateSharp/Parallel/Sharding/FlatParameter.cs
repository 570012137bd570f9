using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Parallel.Swap;
using TorchSharp;
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
    private readonly ShardingStreams _streams;
    private readonly Device _device;
    private readonly bool _isOffloaded;
    private readonly bool _keepsOnDevice;
    private readonly ScalarType _reduceDtype;
    private Tensor? _full;
    private Tensor? _storage;
    private Tensor? _gradient;
    private Tensor? _hostGradient;
    private Tensor? _part;
    private Work? _gather;
    private ShardPages? _pages;
    private Tensor? _onDevice;
    private bool _isOnDevice;

    /// <param name="part">Its number among the model's buffers, from 1; the same on every rank.</param>
    /// <param name="slots">The parameters, of one dtype, all trainable or none.</param>
    /// <param name="mesh">Who shares the buffer.</param>
    /// <param name="streams">Where casts and copies run.</param>
    /// <param name="options">Dtypes, and where the shard lives.</param>
    /// <param name="device">Where the unit computes.</param>
    public FlatParameter(int part, IReadOnlyList<ParameterSlot> slots, ShardingMesh mesh, ShardingStreams streams, ShardingOptions options, Device device)
    {
        (Part, _mesh, _streams, _device) = (part, mesh, streams, device);
        _isOffloaded = options.OffloadParameters && device.type != DeviceType.CPU;
        _keepsOnDevice = _isOffloaded && options.KeepComputeShards;
        var dtype = slots[0].Parameter.dtype;
        IsFloat = slots[0].Parameter.is_floating_point();
        IsTrainable = slots[0].Parameter.requires_grad;
        Dtype = IsTrainable && options.MasterWeights && IsFloat ? ScalarType.Float32 : dtype;
        ComputeDtype = IsFloat ? options.ParameterDtype ?? dtype : dtype;
        _reduceDtype = options.ReduceDtype ?? ComputeDtype;
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

    /// <summary>Its number among the model's buffers, from 1, which the ranks' collectives are checked by.</summary>
    public int Part { get; }

    public IReadOnlyList<ShardedParameter> Parameters { get; }

    public bool IsTrainable { get; }

    public bool IsFloat { get; }

    /// <summary>The dtype of the shard, and so of the optimizer's state.</summary>
    public ScalarType Dtype { get; }

    /// <summary>The dtype of the gathered buffer.</summary>
    public ScalarType ComputeDtype { get; }

    /// <summary>The dtype in which gradients are reduced.</summary>
    public ScalarType ReduceDtype => _reduceDtype;

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
    public bool IsWhole => _mesh.Shard is null && Dtype == ComputeDtype && !_isOffloaded;

    /// <summary>Whether the shard lives in host memory beside a device.</summary>
    public bool IsOffloaded => _isOffloaded;

    /// <summary>Whether this rank's part is in a file; what stands for it in memory has no values.</summary>
    public bool IsPaged => _pages is not null;

    /// <summary>Bytes of this rank's part.</summary>
    public long ShardBytes => TensorStorage.ByteCount(Shard);

    /// <summary>Bytes of the gathered buffer, as its storage has them now.</summary>
    public long GatheredBytes => IsWhole || _storage is null || !IsGathered ? 0 : TensorStorage.ByteCount(_storage);

    /// <summary>Bytes of gradients that wait for their reduction.</summary>
    public long PendingGradientBytes => _gradient is null ? 0 : TensorStorage.ByteCount(_gradient);

    /// <summary>A gather that nobody has waited for yet.</summary>
    public Work? PendingGather => _gather;

    /// <summary>Where the unit computes.</summary>
    public Device Device => _device;

    private long ShardStart => ShardSize * _mesh.ShardIndex;

    /// <summary>A parameter's place in a tensor that is laid out like the shard.</summary>
    public Tensor PieceOf(ShardedParameter parameter, Tensor shard) => parameter.Piece(shard, ShardStart);

    /// <summary>Takes the parameters' values and makes the parameters this rank's parts, which lets go of the whole ones.</summary>
    /// <param name="sync">The ranks that take rank 0's values; null: each its own.</param>
    /// <param name="lacking">Which parameters have none, on rank 0 where that counts.</param>
    /// <param name="initialize">Makes values for those.</param>
    public void TakeValues(ProcessGroup? sync, IReadOnlyList<bool> lacking, Action<string, Tensor>? initialize)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        Shard = EmptyShard(Dtype);
        Shard.zero_();
        if (sync is not null && lacking.Contains(false))
        {
            var whole = sync.Rank == 0 ? zeros(Count, Dtype, _device) : null;
            if (whole is not null) Fill(whole, 0);
            var part = ShardColumn.PartOf(whole, this, _mesh, Dtype, _isOffloaded ? null : Shard);
            if (!ReferenceEquals(part, Shard)) Shard.copy_(part);
        }
        else
        {
            Fill(Shard, ShardStart);
        }

        for (var i = 0; i < Parameters.Count; i++)
        {
            var parameter = Parameters[i];
            parameter.PointAt(Shard, ShardStart);
            if (!lacking[i]) continue;
            parameter.LacksValues = initialize is null;
            if (parameter.LocalCount > 0) initialize?.Invoke(parameter.Name, parameter.Local);
        }

        // Ranks that hold the same part must not draw different numbers.
        if (initialize is null || !lacking.Contains(true) || _mesh.Replicas is not { } replicas) return;
        var agreed = Shard.to(_device);
        replicas.Broadcast(agreed, root: 0);
        Shard.copy_(agreed);
    }

    /// <summary>Moves this rank's part into a file, if that is where it belongs. The parameters keep their shape, and no values.</summary>
    public void PageOut(ShardPages pages)
    {
        if (!pages.Takes(ShardSize)) return;
        foreach (var parameter in Parameters.Where(parameter => parameter.LocalCount > 0))
        {
            parameter.Page = pages.Reserve(parameter.LocalCount, Dtype);
            parameter.Page.Write(pages.Single, parameter.Local);
        }

        _pages = pages;
        DropValues();
    }

    /// <summary>Brings this rank's part into memory for a while; null where it is there anyway.</summary>
    /// <param name="write">Whether it is changed meanwhile.</param>
    public IDisposable? Open(bool write)
    {
        if (_pages is null) return null;
        using var noGrad = no_grad();
        Replace(empty(ShardSize, Dtype));
        foreach (var parameter in Parameters) parameter.Page?.Read(_pages.Single, parameter.Local);
        return new Opened(this, write);
    }

    /// <summary>The optimizer may have stepped: what the device has of the host's part is old.</summary>
    public void Expire() => _isOnDevice = false;

    /// <summary>Starts to read from the file what a gather will need.</summary>
    public void ReadAhead() => _pages?.ReadAhead(this);

    /// <summary>Starts bringing the whole buffer together, over whatever it held.</summary>
    /// <param name="fromPart">Use what <see cref="Free"/> kept, which the ranks nearby have the rest of.</param>
    public void Gather(bool fromPart)
    {
        if (IsWhole)
        {
            if (Views.Count == 0) Views = ViewsOf(Shard);
            IsGathered = true;
            return;
        }

        Wait();
        Allocate();
        var part = fromPart ? _part : null;
        var group = part is null ? _mesh.Shard : _mesh.Reshard;
        IsGathered = true;
        ShardingStreams.Run(_streams.Gather, () =>
        {
            using var noGrad = no_grad();
            using var scope = NewDisposeScope();
            // In place: this rank's part is cast to where the gather expects it. Not through the views' own tensor, whose version would move.
            var size = Count / (group?.Size ?? 1);
            var mine = _storage!.narrow(0, size * (group?.Rank ?? 0), size);
            if (part is not null) mine.copy_(part);
            else if (_pages is not null) _pages.CopyTo(this, mine);
            else if (_keepsOnDevice) mine.copy_(OnDevice());
            else if (_isOffloaded) mine.copy_(empty(ShardSize, Dtype, _device).copy_(Shard, true));
            else mine.copy_(Shard);
            _gather = group?.AllGatherAsync(_storage, mine, Part);
        });
        // Nobody else's gather will tell when the cast is done.
        if (group is null) _streams.Gather?.MakeCallerWait();
    }

    /// <summary>Orders what this thread computes next behind the gather.</summary>
    public void Wait()
    {
        if (_gather is not { } gather) return;
        _gather = null;
        gather.Wait();
        // Until here the gather's stream may still have been reading it.
        DropPart();
    }

    /// <summary>Gives the whole buffer's memory back. What autograd saved of it is valid again after the next gather.</summary>
    /// <param name="keepPart">Keep what a gather among the ranks nearby needs.</param>
    public void Free(bool keepPart)
    {
        if (!IsGathered) return;
        Wait();
        IsGathered = false;
        if (IsWhole) return;
        if (keepPart && _mesh.Reshard is { } group)
        {
            using var noGrad = no_grad();
            using var whole = _storage!.narrow(0, Count / group.Size * group.Rank, Count / group.Size);
            _part = whole.clone().DetachFromDisposeScope();
        }

        TensorStorage.Free(_storage!);
    }

    /// <summary>Forgets what <see cref="Free"/> kept.</summary>
    public void DropPart()
    {
        _part?.Dispose();
        _part = null;
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

    /// <summary>Starts the copy of a reduced shard to the host, in the shard's dtype.</summary>
    /// <param name="reduced">On the device; it has to live until the copy is done.</param>
    /// <returns>What <see cref="Distribute"/> takes once the copy is done.</returns>
    public Tensor StartOffload(Tensor reduced)
    {
        // Pinned memory is dear to make: the last step's is used again unless somebody still accumulates in it.
        var target = Parameters.Any(parameter => parameter.IsHolding) ? null : _hostGradient;
        if (target is null) _hostGradient?.Dispose();
        _hostGradient = null;
        target ??= EmptyShard(Dtype);
        ShardingStreams.Run(_streams.Offload, () =>
        {
            using var noGrad = no_grad();
            using var scope = NewDisposeScope();
            target.copy_(reduced.to(Dtype), true);
        });
        return target;
    }

    /// <summary>Gives each parameter its piece of a reduced shard, and disposes that.</summary>
    public void Distribute(Tensor reduced)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var gradient = reduced.to(Dtype);
        foreach (var parameter in Parameters)
        {
            if (parameter.LocalCount == 0 || !parameter.Parameter.requires_grad) continue;
            var piece = parameter.Piece(gradient, ShardStart);
            // No gradient here: did another rank have one? A parameter that nobody used keeps none, as on one process.
            if (!parameter.HasGradient && piece.count_nonzero().item<long>() == 0) continue;
            parameter.Add(piece);
        }

        foreach (var parameter in Parameters) parameter.HasGradient = false;
        if (!_isOffloaded)
        {
            reduced.Dispose();
            return;
        }

        _hostGradient?.Dispose();
        _hostGradient = reduced;
    }

    public void Dispose()
    {
        foreach (var view in Views) view.Dispose();
        foreach (var parameter in Parameters) parameter.Dispose();
        DropPart();
        _gradient?.Dispose();
        _hostGradient?.Dispose();
        _storage?.Dispose();
        _full?.Dispose();
        _onDevice?.Dispose();
        Shard.Dispose();
    }

    /// <summary>This rank's part in the compute dtype, which crosses from the host once for each step.</summary>
    private Tensor OnDevice()
    {
        _onDevice ??= empty(ShardSize, ComputeDtype, _device).DetachFromDisposeScope();
        if (!_isOnDevice) _onDevice.copy_(empty(ShardSize, Dtype, _device).copy_(Shard, true));
        _isOnDevice = true;
        return _onDevice;
    }

    /// <summary>Not a number, as often as there are elements, in the memory of one.</summary>
    private void DropValues()
    {
        using var noGrad = no_grad();
        using var one = full(1, double.NaN, Dtype);
        Replace(one.expand(ShardSize));
    }

    private void Replace(Tensor shard)
    {
        Shard.Dispose();
        Shard = shard.DetachFromDisposeScope();
        foreach (var parameter in Parameters) parameter.PointAt(Shard, ShardStart);
    }

    private static long RoundUp(long value, long unit) => (value + unit - 1) / unit * unit;

    /// <summary>A tensor like the shard: on the device, or in host memory that a GPU can copy from and to by itself.</summary>
    private Tensor EmptyShard(ScalarType dtype)
    {
        if (!_isOffloaded) return empty(ShardSize, dtype, _device).DetachFromDisposeScope();
        using var pageable = empty(ShardSize, dtype);
        return pageable.pin_memory().DetachFromDisposeScope();
    }

    private void Allocate()
    {
        if (_full is null)
        {
            using var noGrad = no_grad();
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
            if (parameter.IsEmpty) continue;
            var from = Math.Max(parameter.Offset, start);
            var to = Math.Min(parameter.Offset + parameter.Count, start + target.numel());
            if (to <= from) continue;
            target.narrow(0, from - start, to - from).copy_(parameter.Parameter.detach().reshape(-1).narrow(0, from - parameter.Offset, to - from));
        }
    }

    private sealed class Opened(FlatParameter flat, bool write) : IDisposable
    {
        public void Dispose()
        {
            if (write)
                foreach (var parameter in flat.Parameters) parameter.Page?.Write(flat._pages!.Single, parameter.Local);
            flat.DropValues();
        }
    }
}

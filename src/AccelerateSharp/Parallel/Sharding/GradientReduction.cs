using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>Reductions of flat gradients in flight, while backward goes on.</summary>
/// <remarks>
/// One buffer is reduced while the next fills: starting a reduction first orders what is computed next behind the one before it, whose
/// buffer can then be used again. Where a column of replicas follows, its all-reduce of the small result starts at that moment.
/// </remarks>
internal sealed class GradientReduction(ShardingMesh mesh, ShardingStreams streams)
{
    /// <summary>Shards on the device whose copies to the host may be under way at once.</summary>
    private const int MaxCopies = 4;

    private readonly List<(FlatParameter Flat, Tensor Result)> _done = [];
    private readonly Queue<(Tensor Shard, CudaEvent? End)> _copying = [];
    private Stage? _scattering;
    private Stage? _replicating;

    /// <summary>Called with each reduction that was waited for.</summary>
    public Action<Work>? Waited { get; init; }

    /// <summary>Starts reducing a buffer, which it takes over.</summary>
    /// <returns>The operation between the ranks that share the parameters; null where this rank has all of them.</returns>
    public Work? Start(FlatParameter flat, Tensor gradient)
    {
        Advance();
        using var noGrad = no_grad();
        if (mesh.Shard is { } group)
        {
            var shard = empty(flat.ShardSize, gradient.dtype, gradient.device).DetachFromDisposeScope();
            _scattering = new Stage(flat, shard, group.ReduceScatterAsync(shard, gradient, ReduceOp.Avg, flat.Part));
            // The operation holds the buffer until it has been waited for.
            gradient.Dispose();
        }
        else
        {
            _scattering = new Stage(flat, gradient, null);
        }

        return _scattering.Work;
    }

    /// <summary>Waits for all of them and hands each parameter its piece.</summary>
    public void Finish()
    {
        Advance();
        Advance();
        streams.Offload?.Synchronize();
        LetGoOfCopied(all: true);
        foreach (var (flat, result) in _done) flat.Distribute(result);
        _done.Clear();
    }

    /// <summary>Forgets reductions that cannot be finished.</summary>
    public void Abandon()
    {
        streams.Offload?.Synchronize();
        LetGoOfCopied(all: true);
        foreach (var (_, result) in _done) result.Dispose();
        _scattering?.Shard.Dispose();
        _replicating?.Shard.Dispose();
        _done.Clear();
        (_scattering, _replicating) = (null, null);
    }

    /// <summary>Each reduction goes one stage on: from the row to the column, from there to the results.</summary>
    private void Advance()
    {
        if (_replicating is { } replicated)
        {
            Wait(replicated.Work);
            Done(replicated);
            _replicating = null;
        }

        if (_scattering is not { } scattered) return;
        Wait(scattered.Work);
        _scattering = null;
        if (mesh.Replicas is { } replicas) _replicating = scattered with { Work = replicas.AllReduceAsync(scattered.Shard, ReduceOp.Avg) };
        else Done(scattered);
    }

    private void Wait(Work? work)
    {
        if (work is null) return;
        work.Wait();
        Waited?.Invoke(work);
    }

    private void Done(Stage stage)
    {
        if (!stage.Flat.IsOffloaded)
        {
            _done.Add((stage.Flat, stage.Shard));
            return;
        }

        LetGoOfCopied(all: false);
        _done.Add((stage.Flat, stage.Flat.StartOffload(stage.Shard)));
        _copying.Enqueue((stage.Shard, streams.Offload?.MarkEnd()));
    }

    /// <summary>Gives back the device's memory of what has arrived on the host.</summary>
    private void LetGoOfCopied(bool all)
    {
        while (_copying.TryPeek(out var copy))
        {
            if (!all && copy.End is { IsReached: false } end)
            {
                if (_copying.Count < MaxCopies) return;
                // The host goes on; what is computed next, and may be put into that memory, waits.
                streams.MakeCallerWait(end);
            }

            _copying.Dequeue();
            copy.Shard.Dispose();
            copy.End?.Dispose();
        }
    }

    private sealed record Stage(FlatParameter Flat, Tensor Shard, Work? Work);
}

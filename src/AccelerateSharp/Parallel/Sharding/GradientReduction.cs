using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>Reductions of flat gradients in flight, while backward goes on.</summary>
/// <remarks>
/// One buffer is reduced while the next fills: starting a reduction first orders what is computed next behind the one before it, whose
/// buffer can then be used again. Where a column of replicas follows, its all-reduce of the small result starts at that moment.
/// </remarks>
internal sealed class GradientReduction(ShardingMesh mesh, ShardingStreams streams)
{
    private readonly List<(FlatParameter Flat, Tensor Shard, Tensor Result)> _done = [];
    private Stage? _scattering;
    private Stage? _replicating;

    /// <summary>Starts reducing a buffer, which it takes over.</summary>
    public void Start(FlatParameter flat, Tensor gradient)
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
    }

    /// <summary>Waits for all of them and hands each parameter its piece.</summary>
    public void Finish()
    {
        Advance();
        Advance();
        streams.Offload?.Synchronize();
        foreach (var (flat, shard, result) in _done)
        {
            flat.Distribute(result);
            if (!ReferenceEquals(shard, result)) shard.Dispose();
        }

        _done.Clear();
    }

    /// <summary>Forgets reductions that cannot be finished.</summary>
    public void Abandon()
    {
        streams.Offload?.Synchronize();
        foreach (var (_, shard, _) in _done) shard.Dispose();
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
            replicated.Work?.Wait();
            Done(replicated);
            _replicating = null;
        }

        if (_scattering is not { } scattered) return;
        scattered.Work?.Wait();
        _scattering = null;
        if (mesh.Replicas is { } replicas) _replicating = scattered with { Work = replicas.AllReduceAsync(scattered.Shard, ReduceOp.Avg) };
        else Done(scattered);
    }

    private void Done(Stage stage) => _done.Add((stage.Flat, stage.Shard, stage.Flat.StartOffload(stage.Shard)));

    private sealed record Stage(FlatParameter Flat, Tensor Shard, Work? Work);
}

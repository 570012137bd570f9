using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding;

// The forward of units: gather, compute, free; and which unit is gathered ahead.
internal sealed partial class ShardingEngine
{
    /// <summary>Units besides the model's own that may be whole at once.</summary>
    private const int MaxWhole = 2;

    private long _generation;
    private UnitExecution? _lastExecution;
    private ShardedUnit? _lastUnit;
    private ShardedUnit? _postponed;
    private bool _inBackward;
    private bool _bypassed;

    /// <summary>Before a unit's module computes: its parameters are whole and in place.</summary>
    /// <returns>What backward will have to do with this forward; null where gradients are off.</returns>
    public UnitExecution? BeforeForward(ShardedUnit unit)
    {
        lock (_gate)
        {
            if (unit.IsRoot && !_inBackward) BeginForward();
            // What is still in place is left of a forward that threw.
            if (unit.IsActive) unit.Abandon();

            MakeWhole(unit);
            if (!_inBackward) NoteOrder(unit);
            var execution = is_grad_enabled() ? new UnitExecution(unit, _inBackward ? null : _lastExecution) : null;
            var attached = unit.Enter(execution is null ? null : gradients => OnParameterGradients(execution, gradients), _errors);
            if (execution is not null)
            {
                execution.AwaitsParameters = attached;
                if (unit.IsTrainable) unit.Pending++;
                // A forward inside of backward recomputes what was not kept: its own backward follows at once.
                if (_inBackward) Open(execution);
                else _lastExecution = execution;
            }

            if (_options.ForwardPrefetch && !_inBackward && unit.Next is { IsGathered: false } next) Prefetch(next);
            if (!unit.IsRoot) unit.Started = Timeline?.Now();
            return execution;
        }
    }

    /// <summary>After a unit's module has computed: its parameters are put back and, where backward does not want them, freed.</summary>
    public void AfterForward(ShardedUnit unit, UnitExecution? execution)
    {
        lock (_gate)
        {
            if (unit.Started is { } started) Timeline?.Add("forward", unit.Name, started);
            unit.Started = null;
            unit.Leave(backwardFollows: execution is not null);
            var keep = execution is null
                ? unit.OpenBackwards > 0
                // The last unit of the forward is the first of the backward.
                : _inBackward || unit.IsRoot || unit.IsLast || _options.Stage < ShardingStage.Parameters;
            if (!keep) Free(unit, backwardFollows: execution is not null);
            if (unit.IsRoot && !_inBackward) EndForward();
        }
    }

    /// <summary>After a forward that threw: no module is left with parameters that are not its own.</summary>
    public void AbandonForward()
    {
        lock (_gate)
        {
            if (!Units.Any(unit => unit.IsActive)) return;
            foreach (var unit in Units.Where(unit => unit.IsActive).Reverse()) unit.Abandon();

            foreach (var unit in Units.Where(unit => unit.OpenBackwards == 0)) Free(unit);
        }
    }

    private void BeginForward()
    {
        AbandonForward();
        if (_bypassed)
        {
            _bypassed = false;
            throw new InvalidOperationException(
                $"Rank {_mesh.Rank}: a backward pass of this model ran without Accelerator.Backward, so its gradients were lost: a sharded parameter's gradient has to be reduced. "
                + "Call accelerator.Backward(loss) in place of loss.backward().");
        }

        CheckParameters();
        // The optimizer may have stepped: whatever is whole is out of date.
        if (!_staysWhole)
        {
            _generation++;
            _pages?.Invalidate();
        }

        if (_valuesMayChange)
            foreach (var flat in Units.SelectMany(unit => unit.Flats)) flat.Expire();

        (_lastExecution, _lastUnit) = (null, null);
        if (_options.Stage < ShardingStage.Parameters) return;
        foreach (var unit in Units.Where(unit => !unit.IsRoot)) Free(unit);
    }

    private void EndForward()
    {
        if (_lastUnit is not null)
        {
            _lastUnit.Next = null;
            foreach (var unit in Units) unit.IsLast = unit == _lastUnit;
        }

        // A host that goes on at once could change what is still being copied from it.
        if (_options.OffloadParameters && !is_grad_enabled()) _streams.Gather?.Synchronize();
        foreach (var unit in Units.Where(unit => unit.IsPrefetched)) Free(unit);
    }

    /// <summary>The order of the last forward is what this one is expected to follow.</summary>
    private void NoteOrder(ShardedUnit unit)
    {
        if (unit.IsRoot || unit.Flats.Count == 0) return;
        if ((_lastUnit ?? Units[0]) is var before && before != unit) (before.Next, unit.Before) = (unit, before);
        _lastUnit = unit;
    }

    /// <summary>Makes sure that a unit's parameters are whole and those of now, for what this thread computes next.</summary>
    private void MakeWhole(ShardedUnit unit)
    {
        if (!unit.IsGathered || unit.Generation != _generation)
        {
            // Something else than expected runs: what was gathered ahead goes first.
            foreach (var other in Units.Where(other => other.IsPrefetched && other != unit)) Free(other);
            Gather(unit);
        }

        unit.IsPrefetched = false;
        try
        {
            var gathers = Timeline is null ? [] : unit.Gathers.ToList();
            unit.Wait();
            foreach (var work in gathers) Timeline!.Ended(work);
        }
        catch (CollectiveMismatchException exception)
        {
            throw Explain(exception);
        }
    }

    /// <summary>Starts to gather a unit that will be needed soon, if there is room.</summary>
    private void Prefetch(ShardedUnit unit)
    {
        if (unit.IsRoot || unit.IsGathered || unit.Flats.Count == 0) return;
        var frees = _options.Stage == ShardingStage.Parameters || _inBackward;
        if (frees && Units.Count(other => other is { IsGathered: true, IsRoot: false }) >= MaxWhole)
        {
            _postponed = unit;
            return;
        }

        Gather(unit);
        unit.IsPrefetched = true;
    }

    private void Gather(ShardedUnit unit)
    {
        CheckSameUnit(unit);
        var ready = Timeline?.Now();
        unit.Gather(_generation);
        if (ready is { } since)
            foreach (var work in unit.Gathers) Timeline!.Add("gather", unit.IsRoot ? "root" : unit.Name, since, work);
        if (_pages is not null && (_inBackward ? unit.Before : unit.Next) is { IsGathered: false } soon)
            foreach (var flat in soon.Flats) flat.ReadAhead();
        PeakGatheredBytes = Math.Max(PeakGatheredBytes, GatheredBytes);
    }

    private void Free(ShardedUnit unit, bool backwardFollows = false)
    {
        unit.Free(backwardFollows);
        if (_postponed is not { } next) return;
        _postponed = null;
        Prefetch(next);
    }
}

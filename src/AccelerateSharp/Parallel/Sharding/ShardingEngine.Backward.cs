using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding;

// The backward of units: gather again, take gradients, reduce, free.
internal sealed partial class ShardingEngine
{
    private bool _synchronize;

    /// <summary>Whole parameters were kept: no optimizer has stepped since they were gathered.</summary>
    private bool _staysWhole;

    /// <summary>The optimizer may step: until the next backward no forward knows whether it has.</summary>
    private bool _valuesMayChange = true;

    public void BeforeBackward(bool synchronize)
    {
        lock (_gate)
        {
            AbandonForward();
            _valuesMayChange = false;
            _synchronize = synchronize || _options.ReduceEveryBatch;
            foreach (var unit in Units) foreach (var parameter in unit.Parameters) parameter.Withdraw();
            _inBackward = true;
        }
    }

    public void AfterBackward(bool hide)
    {
        lock (_gate)
        {
            using var noGrad = no_grad();
            foreach (var unit in Units) unit.CollectNativeGradients();
            _inBackward = false;
            CheckStrays();
            if (_synchronize)
            {
                foreach (var unit in Units) Reduce(unit);
                try
                {
                    _reduction.Finish();
                }
                catch (CollectiveMismatchException exception)
                {
                    throw Explain(exception);
                }
            }

            _orderIsKnown = true;
            // Where parameters are not divided while units compute, those of the next micro-batch are the same.
            Settle(keepWhole: hide && _options.Stage < ShardingStage.Parameters);
            if (hide) return;
            _valuesMayChange = true;
            foreach (var unit in Units) foreach (var parameter in unit.Parameters) parameter.Show();
        }
    }

    public void AbandonBackward()
    {
        lock (_gate)
        {
            _inBackward = false;
            _reduction.Abandon();
            foreach (var flat in Units.SelectMany(unit => unit.Flats)) flat.TakeGradients()?.Dispose();
            foreach (var unit in Units.Where(unit => unit.IsActive)) unit.Leave(backwardFollows: false);
            Settle();
        }
    }

    /// <summary>Backward is about to compute with a unit.</summary>
    public void OnOutputGradients(UnitExecution execution)
    {
        lock (_gate)
        {
            Open(execution);
            MakeWhole(execution.Unit);
            if (_options.BackwardPrefetch == BackwardPrefetchMoment.BeforeGradients) PrefetchBefore(execution);
            if (!execution.Unit.IsRoot) execution.Started = Timeline?.Now();
        }
    }

    /// <summary>The gradients of all that flowed into a unit are computed.</summary>
    public void OnInputGradients(UnitExecution execution)
    {
        lock (_gate)
        {
            execution.AwaitsInputs = false;
            Close(execution);
        }
    }

    /// <summary>The gradients of a unit's parameters are computed.</summary>
    private void OnParameterGradients(UnitExecution execution, GradientSlots gradients)
    {
        lock (_gate)
        {
            if (!_inBackward)
            {
                _bypassed = true;
                return;
            }

            if (execution.Started is { } started) Timeline?.Add("backward", execution.Unit.Name, started);
            execution.Started = null;
            execution.Unit.AddGradients(gradients);
            execution.AwaitsParameters = false;
            Close(execution);
        }
    }

    private static void Open(UnitExecution execution)
    {
        if (execution.IsOpen) return;
        execution.IsOpen = true;
        execution.Unit.OpenBackwards++;
    }

    /// <summary>Ends a unit's part in a backward as far as that is known: frees its parameters, starts the reduction.</summary>
    private void Close(UnitExecution execution)
    {
        if (!execution.IsComplete) return;
        var unit = execution.Unit;
        if (!unit.HasAllNativeGradients()) return;
        unit.CollectNativeGradients();
        if (execution.IsOpen)
        {
            execution.IsOpen = false;
            unit.OpenBackwards--;
        }

        if (unit.OpenBackwards == 0)
        {
            unit.LeaveNative();
            Free(unit);
        }

        if (unit.Pending > 0) unit.Pending--;
        if (unit.Pending == 0 && _synchronize) Reduce(unit);
        if (_options.BackwardPrefetch == BackwardPrefetchMoment.AfterGradients) PrefetchBefore(execution);
    }

    private void PrefetchBefore(UnitExecution execution)
    {
        for (var previous = execution.Previous; previous is not null; previous = previous.Previous)
        {
            if (previous.Unit.IsGathered || previous.Unit.IsRoot) continue;
            Prefetch(previous.Unit);
            return;
        }
    }

    private void Reduce(ShardedUnit unit)
    {
        foreach (var flat in unit.Flats)
        {
            if (flat.TakeGradients() is not { } gradient) continue;
            var ready = Timeline?.Now();
            var work = _reduction.Start(flat, gradient);
            if (ready is { } since && work is not null) Timeline!.Add("reduce", unit.IsRoot ? "root" : unit.Name, since, work);
        }
    }

    /// <summary>Between steps nothing is whole and nobody waits.</summary>
    private void Settle(bool keepWhole = false)
    {
        _postponed = null;
        foreach (var unit in Units) unit.Settle(keepWhole);
        _lastExecution = null;
        _staysWhole = keepWhole;
        if (!keepWhole) _generation++;
    }

    /// <summary>A gradient that autograd left in a parameter itself belongs to this rank's part of it alone.</summary>
    private void CheckStrays()
    {
        foreach (var parameter in Units.SelectMany(unit => unit.Parameters))
        {
            using var gradient = parameter.Parameter.grad;
            if (gradient is null) continue;
            parameter.Parameter.grad = null;
            throw new InvalidOperationException(
                $"Rank {_mesh.Rank}: a gradient of the sharded parameter '{parameter.Name}' arrived past its unit. Its module was entered through forward() in place of call(), or the loss uses the parameter outside of the model's forward, where this rank has only a part of it. "
                + "Use call(), and compute such terms of the loss inside of the model's forward.");
        }
    }
}

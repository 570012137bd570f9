using System.Text.RegularExpressions;
using AccelerateSharp.Internal.Interop;
using TorchSharp.Modules;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel.Sharding;

// What a program can do wrong with a sharded model, and how it is told.
internal sealed partial class ShardingEngine
{
    private List<(Module Module, string Name, Parameter Parameter)> _registered = [];

    /// <summary>Whether the ranks' order of units was compared for one whole step.</summary>
    private bool _orderIsKnown;

    /// <summary>
    /// A module that holds parameters of a unit, called while these are not whole: somebody entered the unit through <c>forward</c>,
    /// which runs no hooks, or past it.
    /// </summary>
    private void GuardHolders(UnitPlan plan)
    {
        foreach (var (module, units) in plan.Holders(Units))
        {
            if (ModuleHooks.Before(module, called => CheckIsWhole(called, units)) is { } hook) _hooks.Add(hook);
        }
    }

    private void CheckIsWhole(Module called, IReadOnlyList<ShardedUnit> units)
    {
        foreach (var unit in units)
        {
            if (unit.IsWholeIn(called)) continue;
            throw new InvalidOperationException(
                $"Rank {_mesh.Rank}: {called.GetName()} computes with parameters of the sharded unit {unit.Title}, which are not gathered: the unit was entered through forward(), or one of its modules was called from outside. "
                + "Call the unit itself, with unit.call(...) in place of unit.forward(...): only call() gathers its parameters.");
        }
    }

    /// <summary>The parameters are those of <c>Prepare</c>: same objects, same place, same shape, frozen or not as they were.</summary>
    private void CheckParameters()
    {
        foreach (var (module, name, parameter) in _registered)
        {
            if (module.get_parameter(name) is { } now && ReferenceEquals(now, parameter)) continue;
            throw new InvalidOperationException(
                $"Rank {_mesh.Rank}: parameter '{name}' of {module.GetName()} was replaced after Accelerator.Prepare sharded the model, so nobody would gather or train it. {PrepareAgain}");
        }

        foreach (var flat in Units.SelectMany(unit => unit.Flats))
        {
            foreach (var parameter in flat.Parameters)
            {
                if (parameter.LacksValues)
                    throw new InvalidOperationException(
                        $"Rank {_mesh.Rank}: parameter '{parameter.Name}' has no values: it was on the meta device, on rank 0 too. Load some with accelerator.LoadCheckpoint or LoadStateDict, or let FullyShardedDataParallelPlugin.ParamInitFn make them.");
                if (parameter.Parameter.numel() != parameter.LocalCount)
                    throw new InvalidOperationException($"Rank {_mesh.Rank}: parameter '{parameter.Name}' changed its shape after Accelerator.Prepare sharded the model. {PrepareAgain}");
                if (!flat.IsTrainable && parameter.Parameter.requires_grad)
                    throw new InvalidOperationException($"Rank {_mesh.Rank}: parameter '{parameter.Name}' requires a gradient, but was frozen when Accelerator.Prepare sharded the model. {PrepareAgain}");
            }
        }
    }

    private static string PrepareAgain => "Change the model before Prepare.";

    /// <summary>Where modules hold parameters as objects of their own; native ones make new objects at each look.</summary>
    private void NoteRegistered()
    {
        var seen = new HashSet<Module>(ReferenceEqualityComparer.Instance);
        _registered = [.. _model.modules().Prepend(_model).Where(seen.Add)
            .Where(module => !NativeModule.HasNativeParameters(module))
            .SelectMany(module => module.named_parameters(recurse: false).Select(item => (module, item.name, item.parameter)))];
    }

    /// <summary>In the first step ranks say which unit they gather: NCCL would mix two units of the same size without a word. Gloo compares at each call.</summary>
    private void CheckSameUnit(ShardedUnit unit)
    {
        if (_orderIsKnown || _mesh.Shard is not { Backend: "nccl" } group) return;
        var units = group.AllGatherObject(unit.Index);
        if (units.All(index => index == units[0])) return;
        throw new CollectiveMismatchException(
            $"Rank {_mesh.Rank}: the ranks run different units of the sharded model: {string.Join("; ", units.Select((index, rank) => $"rank {group.Ranks[rank]}: {Units[index].Title}"))}. {SameUnits}")
        { Rank = _mesh.Rank };
    }

    /// <summary>Adds the units' names to a mismatch between gathers or reductions.</summary>
    private CollectiveMismatchException Explain(CollectiveMismatchException exception)
    {
        var titles = Units.SelectMany(unit => unit.Flats.Select(flat => (flat.Part, unit.Title))).ToDictionary(pair => pair.Part, pair => pair.Title);
        var named = PartNumber().Matches(exception.Message).Select(match => int.Parse(match.Groups[1].ValueSpan, System.Globalization.CultureInfo.InvariantCulture)).Distinct().Order()
            .Where(titles.ContainsKey).Select(part => $"part {part} is unit {titles[part]}");
        return new CollectiveMismatchException($"{exception.Message} Of the sharded model, {string.Join(", ", named)}. {SameUnits}", exception)
        {
            Rank = exception.Rank,
            Collective = exception.Collective,
            SequenceNumber = exception.SequenceNumber,
            Shapes = exception.Shapes,
        };
    }

    private static string SameUnits => "Every rank has to run the same units in the same order: look for a layer that only some ranks skip.";

    [GeneratedRegex(@"part (\d+)")]
    private static partial Regex PartNumber();
}

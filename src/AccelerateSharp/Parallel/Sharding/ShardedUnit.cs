using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Parallel.Recomputation;
using AccelerateSharp.Parallel.Sharding.Timeline;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>A module whose parameters are gathered and freed together.</summary>
internal sealed class ShardedUnit(string name, Module module, int index, IReadOnlyList<FlatParameter> flats) : IDisposable
{
    private readonly List<(ParameterSlot Slot, Tensor Alias)> _swapped = [];
    private readonly ShardedParameter[] _native = [.. flats.SelectMany(flat => flat.Parameters).Where(parameter => !parameter.Slot.CanSwap)];
    private bool _nativeIsWhole;

    /// <summary>The module's dotted name; empty for the model itself.</summary>
    public string Name { get; } = name;

    public Module Module { get; } = module;

    /// <summary>Position among the model's units, the same on every rank.</summary>
    public int Index { get; } = index;

    public bool IsRoot => Index == 0;

    public IReadOnlyList<FlatParameter> Flats { get; } = flats;

    public IEnumerable<ShardedParameter> Parameters => Flats.SelectMany(flat => flat.Parameters);

    public bool IsTrainable { get; } = flats.Any(flat => flat.IsTrainable);

    /// <summary>Whether its parameters' gradients alone do not tell that nothing computes with the unit any more.</summary>
    public bool WatchesInputs { get; } = flats.Any(flat => !flat.IsTrainable || flat.Parameters.Any(parameter => !parameter.Slot.CanSwap));

    public bool IsGathered { get; private set; }

    /// <summary>Which state of the shards the gathered parameters are of.</summary>
    public long Generation { get; private set; }

    /// <summary>Gathered ahead of its use.</summary>
    public bool IsPrefetched { get; set; }

    /// <summary>Whether the modules see the whole parameters now.</summary>
    public bool IsActive { get; private set; }

    /// <summary>Forwards whose gradients are still to come.</summary>
    public int Pending { get; set; }

    /// <summary>Backwards that compute with the unit now.</summary>
    public int OpenBackwards { get; set; }

    /// <summary>When the forward that runs now began, where that is recorded.</summary>
    public DeviceClock.TimePoint? Started { get; set; }

    /// <summary>Gathers that nobody has waited for yet.</summary>
    public IEnumerable<Work> Gathers => Flats.Select(flat => flat.PendingGather).OfType<Work>();

    /// <summary>The unit that came next in the last forward.</summary>
    public ShardedUnit? Next { get; set; }

    /// <summary>The unit that came before in the last forward.</summary>
    public ShardedUnit? Before { get; set; }

    /// <summary>Whether it ended the last forward.</summary>
    public bool IsLast { get; set; }

    public long GatheredBytes => Flats.Sum(flat => flat.GatheredBytes);

    public string Title => IsRoot ? $"{Module.GetName()} (the model itself)" : $"'{Name}' ({Module.GetName()})";

    public void Gather(long generation)
    {
        foreach (var flat in Flats) flat.Gather(fromPart: Generation == generation);
        (IsGathered, Generation) = (true, generation);
    }

    public void Wait()
    {
        foreach (var flat in Flats) flat.Wait();
    }

    /// <summary>Frees the whole parameters; only this rank's part is left.</summary>
    /// <param name="backwardFollows">Keep what a smaller gather needs, where that is asked for.</param>
    public void Free(bool backwardFollows)
    {
        IsPrefetched = false;
        if (!IsGathered) return;
        IsGathered = false;
        foreach (var flat in Flats) flat.Free(keepPart: backwardFollows);
    }

    /// <summary>Forgets everything but this rank's part and, where asked for, the whole parameters.</summary>
    public void Settle(bool keepWhole = false)
    {
        (Pending, OpenBackwards) = (0, 0);
        LeaveNative();
        if (!keepWhole) Free(backwardFollows: false);
        foreach (var flat in Flats) flat.DropPart();
    }

    /// <summary>The dispose scope of its forward: temporaries would otherwise live until the batch's scope ends.</summary>
    public ForwardScope Scope { get; } = new();

    /// <summary>The forward that runs now, where its activations are not kept.</summary>
    public CheckpointedCall? Call { get; set; }

    /// <summary>Ends a forward that threw.</summary>
    public void Abandon()
    {
        Scope.Abandon();
        Call?.Abandon();
        Call = null;
        Leave(backwardFollows: false);
    }

    /// <summary>Whether a module below sees its whole parameters of this unit, whoever has put them there.</summary>
    public bool IsWholeIn(Module module) =>
        IsActive || Parameters.Where(parameter => parameter.Slot.Modules.Contains(module)).All(parameter => parameter.Slot.CanSwap ? parameter.Slot.IsSwapped : _nativeIsWhole);

    /// <summary>Lets the modules compute with the whole parameters.</summary>
    /// <param name="onGradients">Called in backward with the gradients of the trainable parameters; null where none are wanted.</param>
    /// <param name="errors">Where its exceptions wait.</param>
    /// <returns>Whether <paramref name="onGradients"/> will be called.</returns>
    public bool Enter(Action<GradientSlots>? onGradients, BackwardErrors errors)
    {
        IsActive = true;
        using var scope = NewDisposeScope();
        var (leaves, aliases) = (new List<Tensor>(), new List<Tensor>());
        foreach (var flat in Flats)
        {
            for (var i = 0; i < flat.Parameters.Count; i++)
            {
                var parameter = flat.Parameters[i];
                if (!parameter.Slot.CanSwap) continue;
                var alias = flat.Views[i].detach().DetachFromDisposeScope();
                _swapped.Add((parameter.Slot, alias));
                if (!flat.IsTrainable) continue;
                leaves.Add(parameter.Parameter);
                aliases.Add(alias);
            }
        }

        var attached = onGradients is not null && leaves.Count > 0 && AutogradNode.Attach(leaves, aliases, onGradients, errors);
        foreach (var (slot, alias) in _swapped) slot.SwapIn(alias);
        EnterNative();
        return attached;
    }

    /// <summary>Gives the modules their parameters back. What autograd needs of the whole ones, it holds itself.</summary>
    /// <param name="backwardFollows">Native modules then keep the whole ones: autograd reads those from the parameters themselves.</param>
    public void Leave(bool backwardFollows)
    {
        foreach (var (slot, alias) in _swapped)
        {
            slot.SwapBack();
            alias.Dispose();
        }

        _swapped.Clear();
        IsActive = false;
        if (!backwardFollows) LeaveNative();
    }

    /// <summary>Makes the parameters of native modules this rank's part again.</summary>
    public void LeaveNative()
    {
        if (!_nativeIsWhole) return;
        _nativeIsWhole = false;
        foreach (var parameter in _native) parameter.Restore();
    }

    /// <summary>Adds the gradients that arrived together; they come in the order in which <see cref="Enter"/> put the aliases in.</summary>
    public void AddGradients(GradientSlots slots)
    {
        var next = 0;
        foreach (var flat in Flats.Where(flat => flat.IsTrainable))
        {
            var gradients = new Tensor?[flat.Parameters.Count];
            for (var i = 0; i < gradients.Length; i++)
                if (flat.Parameters[i].Slot.CanSwap) gradients[i] = slots[next++];
            if (Array.Exists(gradients, gradient => gradient is not null)) flat.AddGradients(gradients);
        }
    }

    /// <summary>Whether autograd has left a gradient in every trainable parameter that native modules compute with.</summary>
    public bool HasAllNativeGradients()
    {
        foreach (var parameter in _native)
        {
            if (!parameter.Parameter.requires_grad) continue;
            using var gradient = parameter.Parameter.grad;
            if (gradient is null) return false;
        }

        return true;
    }

    /// <summary>Takes in the gradients that autograd left in the parameters of native modules.</summary>
    public void CollectNativeGradients()
    {
        if (_native.Length == 0) return;
        using var scope = NewDisposeScope();
        foreach (var flat in Flats.Where(flat => flat.IsTrainable))
        {
            var gradients = flat.Parameters.Select(parameter => parameter.Slot.CanSwap ? null : parameter.Parameter.grad).ToArray();
            if (Array.TrueForAll(gradients, gradient => gradient is null)) continue;
            flat.AddGradients(gradients);
            foreach (var parameter in flat.Parameters.Where(parameter => !parameter.Slot.CanSwap)) parameter.Parameter.grad = null;
        }
    }

    public void Dispose()
    {
        foreach (var flat in Flats) flat.Dispose();
    }

    private void EnterNative()
    {
        if (_native.Length == 0 || _nativeIsWhole) return;
        _nativeIsWhole = true;
        using var noGrad = no_grad();
        foreach (var flat in Flats)
            for (var i = 0; i < flat.Parameters.Count; i++)
                if (!flat.Parameters[i].Slot.CanSwap) TensorStorage.SetData(flat.Parameters[i].Parameter, flat.Views[i]);
    }
}

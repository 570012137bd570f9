using System.Runtime.CompilerServices;
using AccelerateSharp.Data.Trees;
using AccelerateSharp.Parallel;
using TorchSharp;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>Brings the weights of a dispatched model to where they are needed, one unit after the other, and the next one ahead.</summary>
/// <remarks>
/// The order of units is that of the modules at first, and from then on the one in which they were called the last time. Where
/// something else is called, what was brought ahead is given up. One forward at a time.
/// </remarks>
internal sealed class OffloadEngine : IForwardRegion
{
    private static readonly ConditionalWeakTable<Module, DispatchHook> _hooks = [];

    private readonly Dictionary<(DeviceType, int), BlockPool> _pools = [];
    private readonly List<DispatchHook> _attached = [];
    private readonly List<OffloadUnit> _units = [];
    private readonly HashSet<OffloadedWeight> _weights = new(ReferenceEqualityComparer.Instance);
    private readonly Stack<OffloadUnit> _active = new();
    private readonly IForwardRegion[] _regions;
    private readonly OffloadFolder? _folder;
    private readonly Action _onEnd;
    private OffloadUnit? _last;
    private int _open;
    private bool _toldOfGradients;

    /// <param name="folder">Weights on disk; closed when the last hook has gone.</param>
    /// <param name="severalDevices">Whether modules compute on more than one device.</param>
    /// <param name="onEnd">Called when the last hook has gone.</param>
    public OffloadEngine(OffloadFolder? folder, bool severalDevices, Action onEnd)
    {
        (_folder, _onEnd, HasSeveralDevices) = (folder, onEnd, severalDevices);
        _regions = [this];
    }

    public bool HasSeveralDevices { get; }

    public IReadOnlyList<OffloadUnit> Units => _units;

    /// <summary>Memory on the devices that compute, for weights that come and go, in bytes.</summary>
    public long PoolBytes => _pools.Values.Sum(pool => pool.ByteCount);

    /// <summary>Whether the weights of a module are in memory, or on their way there.</summary>
    public bool IsComing(Module module) => HookOf(module)?.Unit is { } unit && PoolOf(unit.Device).Has(unit);

    /// <summary>The hook whose unit holds weights of a module, which may be one above it; null where there is none.</summary>
    public static DispatchHook? HookOf(Module module) => _hooks.TryGetValue(module, out var hook) ? hook : null;

    public void Attach(DispatchHook hook)
    {
        _attached.Add(hook);
        if (hook.Unit is not { } unit) return;
        if (_units is [.., var last]) (last.Next, unit.Next) = (unit, _units[0]);
        _units.Add(unit);
        _weights.UnionWith(unit.Tensors.Select(tensor => tensor.Weight));
        foreach (var (_, module) in unit.IsNested ? [("", unit.Module)] : ModelTensors.Modules(unit.Module)) _hooks.AddOrUpdate(module, hook);
    }

    public void Detach(DispatchHook hook)
    {
        if (!_attached.Remove(hook)) return;
        if (hook.Unit is { } unit)
        {
            Exit(unit, all: true);
            foreach (var other in _units.Where(other => other.Next == unit)) other.Next = null;
            _units.Remove(unit);
            foreach (var (_, module) in ModelTensors.Modules(unit.Module))
                if (HookOf(module) == hook) _hooks.Remove(module);
            foreach (var tensor in unit.Tensors) tensor.Restore();
        }
        if (_attached.Count > 0) return;
        foreach (var pool in _pools.Values) pool.Dispose();
        _pools.Clear();
        foreach (var weight in _weights) weight.Dispose();
        _weights.Clear();
        _folder?.Dispose();
        _onEnd();
    }

    /// <summary>Before the forward of a module: what is in place when it ends or throws is taken out by then.</summary>
    public void Begin(Module module) => OpenForwards.Enter(module, _regions);

    /// <summary>After the forward of a module that <see cref="Begin"/> was called for.</summary>
    public static void End(Module module) => OpenForwards.Leave(module);

    /// <summary>Before a unit's module computes: its weights are there.</summary>
    /// <param name="unit">The unit.</param>
    /// <param name="guarded">Whether a call of the module follows, whose exceptions have to be noticed.</param>
    /// <returns>Whether <see cref="End"/> has to be called for the module.</returns>
    public bool Enter(OffloadUnit unit, bool guarded = true)
    {
        // What is in place although nothing runs is left of a forward that threw.
        if (_active.Count > 0 && unit.Depth == 0) OpenForwards.CloseAbandoned(except: 1);
        var outermost = guarded && _open == 0;
        if (outermost) Begin(unit.Module);
        if (unit.Depth++ > 0) return outermost;
        _active.Push(unit);
        var recorded = is_grad_enabled();
        if (recorded && unit.ByteCount > 0 && !_toldOfGradients)
        {
            _toldOfGradients = true;
            Notices.Say("A model with offloaded weights is called with gradients enabled: its weights are then read anew for each call, and none are prefetched. Call it under torch.no_grad().");
        }
        try
        {
            Load(unit, alone: recorded || unit.IsNested);
        }
        catch
        {
            Exit(unit, all: true);
            if (outermost) End(unit.Module);
            throw;
        }
        if (unit.ByteCount == 0 || unit.IsNested) return outermost;
        if (_last is not null) _last.Next = unit;
        _last = unit;
        if (!recorded && unit.Next is { } next) PoolOf(next.Device).Prefetch(next);
        return outermost;
    }

    /// <summary>After a unit's module has computed: its weights are taken out again.</summary>
    /// <param name="unit">The unit.</param>
    /// <param name="all">Whether calls of it that are still open, as they threw, end too.</param>
    public void Exit(OffloadUnit unit, bool all = false)
    {
        if (unit.Depth == 0 || !all && --unit.Depth > 0) return;
        // What lies above it was entered later and never left: it threw.
        while (_active.TryPop(out var top))
        {
            Unload(top);
            if (top == unit) return;
        }
    }

    /// <summary>A result that lasts: a tensor of the memory that the next unit is loaded into is copied.</summary>
    public static object? Keep(OffloadUnit unit, object? result)
    {
        if (unit.Slot is not { } slot) return result;
        return result is Tensor single ? Copy(single) : TensorTree.Map(result, Copy);

        Tensor Copy(Tensor tensor) => !tensor.is_sparse && slot.Holds(tensor) ? tensor.clone() : tensor;
    }

    IDisposable IForwardRegion.Enter(bool nested) => new Region(this);

    private void Load(OffloadUnit unit, bool alone)
    {
        IReadOnlyList<Tensor?>? views = null;
        if (unit.ByteCount > 0)
        {
            unit.Slot = PoolOf(unit.Device).Acquire(unit, alone);
            views = unit.Slot.ViewsOf(unit);
        }
        for (var i = 0; i < unit.Tensors.Count; i++)
        {
            var tensor = unit.Tensors[i];
            var value = tensor.Weight.Value ?? views![i]!;
            if (tensor.Weight.Stored == tensor.Dtype) tensor.Tensor.SwapIn(value);
            else
            {
                using var noGrad = no_grad();
                using var cast = value.to(tensor.Dtype);
                tensor.Tensor.SwapIn(cast);
            }
            unit.InPlace.Push(tensor.Tensor);
        }
    }

    private void Unload(OffloadUnit unit)
    {
        unit.Depth = 0;
        while (unit.InPlace.TryPop(out var tensor)) tensor.SwapBack();
        if (unit.Slot is not { } slot) return;
        unit.Slot = null;
        PoolOf(unit.Device).Release(slot);
    }

    private BlockPool PoolOf(Device device)
    {
        var key = (device.type, Math.Max(0, device.index));
        if (!_pools.TryGetValue(key, out var pool))
            _pools.Add(key, pool = new BlockPool(device, _units.Where(unit => !unit.IsNested && (unit.Device.type, Math.Max(0, unit.Device.index)) == key)));
        return pool;
    }

    /// <summary>A forward that runs. When it ends, also by an exception, nothing that was put in since is left.</summary>
    private sealed class Region : IDisposable
    {
        private readonly OffloadEngine _engine;
        private readonly int _before;
        private bool _disposed;

        public Region(OffloadEngine engine)
        {
            (_engine, _before) = (engine, engine._active.Count);
            engine._open++;
        }

        public void Dispose()
        {
            if (_disposed) return;
            _disposed = true;
            _engine._open--;
            while (_engine._active.Count > _before) _engine.Unload(_engine._active.Pop());
        }
    }
}

using TorchSharp;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>Fills one device after the other with the layers of a model, in their order.</summary>
/// <remarks>
/// On the first GPU and on the host, room stays free for the largest layer that is yet to be placed: there, offloaded layers are
/// brought to be computed with. Tied layers go together.
/// </remarks>
internal sealed class DeviceMapInference
{
    private readonly MaxMemory _maxMemory;
    private readonly List<Placement> _devices;
    private readonly HashSet<Placement> _mainDevices;
    private readonly IReadOnlySet<string> _noSplit;
    private readonly ModuleSizes _sizes;
    private readonly TieLookup _ties;
    private readonly Func<Module, long> _bufferBytes;
    private readonly Action<string>? _explain;

    private readonly DeviceMap _map = [];
    private readonly Dictionary<Placement, long> _used;
    private readonly Dictionary<Placement, long> _buffers = [];
    private readonly OrderedDictionary<Placement, long> _needed = [];
    private readonly List<Layer> _queue;
    private long _reserve;
    private List<string> _reserved;

    private DeviceMapInference(
        Module model, MaxMemory maxMemory, IReadOnlySet<string> noSplit, torch.ScalarType? dtype, IReadOnlyDictionary<string, torch.ScalarType>? specialDtypes, Action<string>? explain)
    {
        _maxMemory = maxMemory;
        _devices = [.. maxMemory.Keys];
        if (!_devices.Contains(Placement.Disk)) _devices.Add(Placement.Disk);
        var gpus = maxMemory.Gpus.ToList();
        _mainDevices = gpus.Count > 0 ? [gpus[0], Placement.Cpu] : [Placement.Cpu];
        _noSplit = noSplit;
        _sizes = ModuleSizes.Of(model, dtype, specialDtypes);
        _ties = new TieLookup(TiedParameters.Find(model), _sizes);
        _bufferBytes = module => ModuleSizes.Of(module, dtype, specialDtypes, buffersOnly: true).Total;
        _explain = explain;
        _used = _devices.ToDictionary(device => device, _ => 0L);
        _queue = Layer.TopLevel(model);
        (_reserve, _reserved) = Layer.Largest(_queue, _sizes, noSplit);
    }

    public static DeviceMap Run(
        Module model, MaxMemory? maxMemory, IReadOnlySet<string> noSplit, torch.ScalarType? dtype, IReadOnlyDictionary<string, torch.ScalarType>? specialDtypes,
        bool cleanResult, bool offloadBuffers, bool fallbackAllocation, Action<string>? explain)
    {
        var inference = new DeviceMapInference(model, AvailableMemory.Normalize(maxMemory), noSplit, dtype, specialDtypes, explain);
        inference.Place(fallbackAllocation, offloadBuffers);
        if (!offloadBuffers) inference.CheckBuffers();
        inference.TellWhatStayedEmpty();
        return cleanResult ? DeviceMapCleaning.Clean(inference._map) : inference._map;
    }

    private void Place(bool fallbackAllocation, bool offloadBuffers)
    {
        var index = 0;
        while (_queue.Count > 0)
        {
            var layer = Pop();
            UpdateReserve(layer);
            var device = _devices[index];
            var reserve = _mainDevices.Contains(device) ? _reserve : 0;
            var limit = device == Placement.Disk ? long.MaxValue : _maxMemory.Of(device) - reserve;
            var size = _sizes[layer.Name];
            var ties = _ties.Outside(layer.Name, _queue);
            var sizeWithTies = size + ties.Bytes;

            if (_used[device] + sizeWithTies <= limit)
            {
                Assign(layer, ties.Layers, device, sizeWithTies, offloadBuffers);
                continue;
            }
            if (ties.Layers.Count > 0 && _used[device] + size <= limit && TrySplitTied(layer, ties.Layers)) continue;
            if (_used[device] + size >= limit && layer.CanSplit(_noSplit))
            {
                _explain?.Invoke($"{layer.Name} ({size} bytes) is split: {device} has {limit - _used[device]} bytes left.");
                _queue.InsertRange(0, layer.Split());
                RecomputeReserve();
                continue;
            }
            if (_used[device] == 0 && device != Placement.Disk)
            {
                if (fallbackAllocation && TryFallback(layer, _maxMemory.Of(device) - Math.Max(_reserve, sizeWithTies))) continue;
                _needed[device] = sizeWithTies + reserve;
            }
            _explain?.Invoke($"{layer.Name} ({sizeWithTies} bytes) does not fit on {device}, which has {limit - _used[device]} bytes left; the next device is tried.");
            _used[device] += reserve;
            index++;
            _queue.Insert(0, layer);
        }
    }

    private Layer Pop()
    {
        var layer = _queue[0];
        _queue.RemoveAt(0);
        return layer;
    }

    /// <summary>The room to keep becomes smaller once the layers that asked for it are placed.</summary>
    private void UpdateReserve(Layer layer)
    {
        _reserved.RemoveAll(name => ModuleNames.Covers(layer.Name, name));
        if (_reserved.Count == 0) RecomputeReserve();
    }

    private void RecomputeReserve() => (_reserve, _reserved) = Layer.Largest(_queue.Where(layer => layer.Module is not null), _sizes, _noSplit);

    private void Assign(Layer layer, IReadOnlyList<Layer> tied, Placement device, long bytes, bool offloadBuffers)
    {
        _explain?.Invoke($"{string.Join(", ", tied.Prepend(layer).Select(item => item.Name))} ({bytes} bytes) on {device}.");
        _used[device] += bytes;
        _map[layer.Name] = device;
        foreach (var other in tied)
        {
            _queue.RemoveAll(waiting => waiting.Name == other.Name);
            _map[other.Name] = device;
        }
        if (!offloadBuffers && layer.Module is not null) _buffers[device] = _buffers.GetValueOrDefault(device) + _bufferBytes(layer.Module);
    }

    /// <summary>A smaller part of what is tied to a layer may fit with it.</summary>
    private bool TrySplitTied(Layer layer, IReadOnlyList<Layer> tied)
    {
        var index = tied.ToList().FindIndex(other => other.CanSplit(_noSplit));
        if (index < 0) return false;
        _explain?.Invoke($"{tied[index].Name} is split: it is tied to {layer.Name}, and both do not fit.");
        var position = _queue.FindIndex(waiting => waiting.Name == tied[index].Name);
        _queue.RemoveAt(position);
        _queue.InsertRange(position, tied[index].Split());
        _queue.Insert(0, layer);
        RecomputeReserve();
        return true;
    }

    /// <summary>Looks for any waiting layer, or part of one, that fits on a device on which the next in order does not.</summary>
    private bool TryFallback(Layer layer, long limit)
    {
        var search = new List<Layer>(_queue);
        while (search.Count > 0)
        {
            var candidate = search[0];
            search.RemoveAt(0);
            if (_sizes[candidate.Name] + _ties.Outside(candidate.Name, search).Bytes <= limit)
            {
                TakeOut(candidate.Name);
                _queue.InsertRange(0, [candidate, layer]);
                return true;
            }
            if (candidate.CanSplit(_noSplit)) search.InsertRange(0, candidate.Split());
        }
        return false;
    }

    /// <summary>Removes a layer from the queue, after splitting those that it is in.</summary>
    private void TakeOut(string name)
    {
        while (_queue.FindIndex(waiting => waiting.Name != name && ModuleNames.Covers(waiting.Name, name)) is var parent and >= 0)
        {
            var parts = _queue[parent].Split();
            _queue.RemoveAt(parent);
            _queue.InsertRange(parent, parts);
        }
        _queue.RemoveAll(waiting => waiting.Name == name);
    }

    private void CheckBuffers()
    {
        var bytes = _buffers.GetValueOrDefault(Placement.Cpu) + _buffers.GetValueOrDefault(Placement.Disk);
        var gpus = _maxMemory.Gpus.ToList();
        if (bytes == 0 || gpus.Count == 0 || gpus.Exists(gpu => _maxMemory.Of(gpu) >= bytes + _used[gpu])) return;
        Notices.Say($"The buffers of offloaded layers take {bytes} bytes, for which no GPU has room beside its layers. "
            + "If memory runs out, set offloadBuffers to true, or lower maxMemory.");
    }

    private void TellWhatStayedEmpty()
    {
        if (_needed.Count == 0) return;
        Notices.Say("No layer was placed on these devices because of insufficient memory: "
            + string.Join(", ", _needed.Select(entry => $"{entry.Key} (maxMemory {_maxMemory.Of(entry.Key)}, the next layer needs {entry.Value} bytes)"))
            + ". Raise maxMemory for them, set fallbackAllocation to true, or split finer (noSplitModuleClasses).");
    }
}

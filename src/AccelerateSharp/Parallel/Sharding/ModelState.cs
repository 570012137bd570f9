using System.Runtime.ExceptionServices;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>The weights and buffers of a sharded model, out of it and back.</summary>
internal sealed class ModelState(ShardingEngine engine)
{
    private IEnumerable<FlatParameter> Flats => engine.Units.SelectMany(unit => unit.Flats);

    /// <summary>Whole tensors, on rank 0.</summary>
    /// <param name="dtype">What floating-point parameters are cast to; null: they are as the optimizer has them.</param>
    public Dictionary<string, Tensor> Gather(ScalarType? dtype = null)
    {
        var state = new Dictionary<string, Tensor>();
        foreach (var flat in Flats)
        {
            using var open = flat.Open(write: false);
            ShardColumn.Gather(flat, engine.Mesh, flat.IsFloat ? dtype ?? flat.Dtype : flat.Dtype, parameter => parameter.Local, (parameter, whole) =>
            {
                foreach (var name in parameter.Slot.Names) state[name] = whole;
            });
        }

        if (engine.Mesh.Rank == 0)
            foreach (var (name, tensor) in Others()) state[name] = Copy(tensor);
        return state;
    }

    /// <summary>This rank's part of every parameter, and what is not divided.</summary>
    public ShardedStateDict TakeParts()
    {
        var entries = new Dictionary<string, ShardedTensor>();
        foreach (var flat in Flats)
        {
            using var open = flat.Open(write: false);
            foreach (var parameter in flat.Parameters)
            {
                var part = new ShardedTensor(parameter.Shape, parameter.LocalStart, Copy(parameter.Local));
                foreach (var name in parameter.Slot.Names) entries[name] = part;
            }
        }

        foreach (var (name, tensor) in Others()) entries[name] = new ShardedTensor(tensor.shape, 0, Copy(tensor.reshape(-1)));
        return new ShardedStateDict(StateDictType.ShardedStateDict, engine.Mesh.Rank, WorldSize, entries);
    }

    /// <summary>The flat buffers as they are.</summary>
    public ShardedStateDict TakeLocal()
    {
        var entries = Flats.ToDictionary(LocalName, flat =>
        {
            using var open = flat.Open(write: false);
            return new ShardedTensor([flat.Count], flat.ShardSize * engine.Mesh.ShardIndex, Copy(flat.Shard));
        });
        foreach (var (name, tensor) in Others()) entries[name] = new ShardedTensor(tensor.shape, 0, Copy(tensor.reshape(-1)));
        return new ShardedStateDict(StateDictType.LocalStateDict, engine.Mesh.Rank, WorldSize, entries);
    }

    /// <summary>Opens safetensors files on rank 0; where that fails, every rank throws.</summary>
    /// <returns>Null on the other ranks.</returns>
    public SafetensorsCheckpoint? Open(string path)
    {
        SafetensorsCheckpoint? files = null;
        ExceptionDispatchInfo? problem = null;
        try
        {
            if (engine.Mesh.Rank == 0) files = SafetensorsCheckpoint.Open(path);
        }
        catch (IOException exception)
        {
            problem = ExceptionDispatchInfo.Capture(exception);
        }

        var message = problem?.SourceException.Message;
        message = engine.Mesh.World?.BroadcastObject(message, 0) ?? message;
        problem?.Throw();
        return message is null ? files : throw new IOException($"Rank {engine.Mesh.Rank}: rank 0 cannot read the weights: {message}");
    }

    public void Scatter(IWeightSource state, bool strict)
    {
        engine.Invalidate();
        // Rank 0 alone can see what is wrong, and all have to throw.
        var problem = engine.Mesh.Rank == 0 ? ProblemOf(state, strict) : null;
        problem = engine.Mesh.World?.BroadcastObject(problem, 0) ?? problem;
        if (problem is not null) throw new ArgumentException($"Rank {engine.Mesh.Rank}: {problem}", nameof(state));
        foreach (var flat in Flats)
        {
            // What is not in the state keeps its value.
            var present = engine.Mesh.Rank == 0 ? flat.Parameters.Select(parameter => NameOf(state, parameter) is not null).ToArray() : [];
            present = engine.Mesh.World?.BroadcastObject(present, 0) ?? present;
            var given = flat.Parameters.Where((_, i) => present[i]).ToHashSet();
            if (given.Count == 0) continue;
            using var open = flat.Open(write: true);
            ShardColumn.Scatter(flat, engine.Mesh, flat.Dtype, parameter => NameOf(state, parameter) is { } name ? state.Read(name) : null, (parameter, part) =>
            {
                if (given.Contains(parameter)) parameter.Local.copy_(part);
            });
            foreach (var parameter in given) parameter.LacksValues = false;
        }

        using var noGrad = no_grad();
        foreach (var (name, tensor) in Others())
        {
            using var scope = NewDisposeScope();
            if (engine.Mesh.Rank == 0 && state.ShapeOf(name) is not null) tensor.detach().copy_(state.Read(name));
            engine.Mesh.World?.Broadcast(tensor, 0);
        }
    }

    public void LoadParts(IReadOnlyList<ShardedStateDict> parts)
    {
        engine.Invalidate();
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        if (parts.Count > 0 && parts[0].Type == StateDictType.LocalStateDict) LoadLocal(parts);
        else foreach (var flat in Flats) LoadParts(flat, parts);
        foreach (var parameter in Flats.SelectMany(flat => flat.Parameters)) parameter.LacksValues = false;
        foreach (var (name, tensor) in Others())
        {
            var value = parts.Select(part => part.Entries.GetValueOrDefault(name)).FirstOrDefault(entry => entry is not null)
                ?? throw new ArgumentException($"The state dict has no '{name}'.", nameof(parts));
            tensor.detach().copy_(value.Local.view(tensor.shape));
        }
    }

    private int WorldSize => engine.Mesh.World?.Size ?? 1;

    private static string LocalName(FlatParameter flat) => $"_flat.{flat.Part}";

    private static Tensor Copy(Tensor tensor) => tensor.detach().to(CPU, copy: true).DetachFromDisposeScope();

    private static string? NameOf(IWeightSource state, ShardedParameter parameter) => parameter.Slot.Names.FirstOrDefault(name => state.ShapeOf(name) is not null);

    private static void LoadParts(FlatParameter flat, IReadOnlyList<ShardedStateDict> parts)
    {
        using var open = flat.Open(write: true);
        foreach (var parameter in flat.Parameters) parameter.Local.copy_(ShardColumn.Assemble(parameter, parameter.Name, parts));
    }

    private void LoadLocal(IReadOnlyList<ShardedStateDict> parts)
    {
        var mine = parts.FirstOrDefault(part => part.Rank == engine.Mesh.Rank);
        if (mine is null || mine.WorldSize != WorldSize)
            throw new ArgumentException($"Local parts of {parts[0].WorldSize} ranks were given to a job of {WorldSize}. Take a sharded or a full state dict to change the number of ranks.", nameof(parts));
        foreach (var flat in Flats)
        {
            if (mine.Entries.GetValueOrDefault(LocalName(flat)) is not { } entry || entry.Shape[0] != flat.Count || entry.Local.numel() != flat.ShardSize)
                throw new ArgumentException("The local state dict is of a model with other units or another strategy. Take a sharded or a full state dict to change them.", nameof(parts));
            using var open = flat.Open(write: true);
            flat.Shard.copy_(entry.Local);
        }
    }

    /// <summary>What is not divided: buffers, and the parameters of modules that are left out.</summary>
    private IEnumerable<(string Name, Tensor Tensor)> Others() => engine.Model.named_parameters()
        .Where(item => engine.Find(item.parameter) is null).Select(item => (item.name, (Tensor)item.parameter))
        .Concat(engine.Model.named_buffers(include_nonpersistent: false).Select(item => (item.name, item.buffer)));

    private string? ProblemOf(IWeightSource state, bool strict)
    {
        foreach (var parameter in Flats.SelectMany(flat => flat.Parameters))
        {
            if (NameOf(state, parameter) is not { } name)
            {
                if (strict) return $"the state dict has no '{parameter.Name}'.";
                continue;
            }

            if (state.ShapeOf(name) is { } shape && !shape.SequenceEqual(parameter.Shape))
                return $"'{parameter.Name}' has shape [{string.Join(", ", shape)}] in the state dict and [{string.Join(", ", parameter.Shape)}] in the model.";
        }

        if (!strict) return null;
        var known = Flats.SelectMany(flat => flat.Parameters).SelectMany(parameter => parameter.Slot.Names).Concat(Others().Select(item => item.Name)).ToHashSet(StringComparer.Ordinal);
        var missing = Others().FirstOrDefault(item => state.ShapeOf(item.Name) is null).Name;
        return missing is not null ? $"the state dict has no '{missing}'." : state.Names.FirstOrDefault(name => !known.Contains(name)) is { } unknown ? $"the model has no '{unknown}'." : null;
    }
}

using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>Moves values that are laid out like a flat buffer - weights, or one field of the optimizer's state - between ranks and names.</summary>
internal static class ShardColumn
{
    /// <summary>Brings one value of every parameter together. A collective.</summary>
    /// <param name="flat">The buffer.</param>
    /// <param name="mesh">Who shares it.</param>
    /// <param name="dtype">Of the values.</param>
    /// <param name="partOf">This rank's part of a parameter's value; null where there is none.</param>
    /// <param name="take">Called on rank 0 with each parameter and its whole value, in its shape, in host memory.</param>
    public static void Gather(FlatParameter flat, ShardingMesh mesh, ScalarType dtype, Func<ShardedParameter, Tensor?> partOf, Action<ShardedParameter, Tensor> take)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var shard = zeros(flat.ShardSize, dtype, flat.Device);
        foreach (var parameter in flat.Parameters)
            if (parameter.LocalCount > 0 && partOf(parameter) is { } part) flat.PieceOf(parameter, shard).copy_(part.reshape(-1));
        var whole = shard;
        if (mesh.Shard is { } group)
        {
            whole = empty(flat.Count, dtype, flat.Device);
            group.AllGather(whole, shard);
        }

        if (mesh.Rank != 0) return;
        foreach (var parameter in flat.Parameters)
            take(parameter, whole.narrow(0, parameter.Offset, parameter.Count).view(parameter.Shape).to(CPU, copy: true).DetachFromDisposeScope());
    }

    /// <summary>Gives every rank its part of values that rank 0 has. A collective.</summary>
    /// <param name="flat">The buffer.</param>
    /// <param name="mesh">Who shares it.</param>
    /// <param name="dtype">Of the values.</param>
    /// <param name="valueOf">On rank 0 the whole value of a parameter; null: leave its part as zeros.</param>
    /// <param name="give">Called with each parameter of which this rank has a part, and that part.</param>
    public static void Scatter(FlatParameter flat, ShardingMesh mesh, ScalarType dtype, Func<ShardedParameter, Tensor?> valueOf, Action<ShardedParameter, Tensor> give)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var whole = mesh.Rank == 0 ? zeros(flat.Count, dtype, flat.Device) : null;
        if (whole is not null)
        {
            foreach (var parameter in flat.Parameters)
            {
                using var one = NewDisposeScope();
                if (valueOf(parameter) is { } value) whole.narrow(0, parameter.Offset, parameter.Count).copy_(value.detach().reshape(-1));
            }
        }

        var shard = PartOf(whole, flat, mesh, dtype);
        foreach (var parameter in flat.Parameters)
            if (parameter.LocalCount > 0) give(parameter, flat.PieceOf(parameter, shard));
    }

    /// <summary>This rank's part of a whole buffer that rank 0 has. A collective; nobody else needs memory for the whole.</summary>
    /// <param name="whole">On rank 0 the buffer, on its device.</param>
    /// <param name="flat">What it is laid out like.</param>
    /// <param name="mesh">Who shares it.</param>
    /// <param name="dtype">Of the buffer.</param>
    /// <param name="into">Where it may come to be; on the device.</param>
    public static Tensor PartOf(Tensor? whole, FlatParameter flat, ShardingMesh mesh, ScalarType dtype, Tensor? into = null)
    {
        if (mesh.World is not { } world) return whole!;
        if (mesh.ShardCount == 1)
        {
            whole ??= empty(flat.Count, dtype, flat.Device);
            world.Broadcast(whole, root: 0);
            return whole;
        }

        var part = into ?? empty(flat.ShardSize, dtype, flat.Device);
        world.Scatter(part, whole is null ? null : [.. Enumerable.Range(0, world.Size).Select(rank => whole.narrow(0, flat.ShardSize * mesh.ShardIndexOf(rank), flat.ShardSize))], root: 0);
        return part;
    }

    /// <summary>This rank's part of a value, put together from the parts of others.</summary>
    /// <exception cref="ArgumentException">A part is missing, or the shape differs.</exception>
    public static Tensor Assemble(ShardedParameter parameter, string name, IReadOnlyList<ShardedStateDict> parts)
    {
        var found = parts.Select(part => part.Entries.GetValueOrDefault(name)).OfType<ShardedTensor>().ToList();
        if (found.Count == 0) throw new ArgumentException($"The state dict has no '{name}'.", nameof(parts));
        if (!found[0].Shape.SequenceEqual(parameter.Shape))
            throw new ArgumentException($"'{name}' has shape [{string.Join(", ", found[0].Shape)}] in the state dict and [{string.Join(", ", parameter.Shape)}] in the model.", nameof(parts));
        var result = empty(parameter.LocalCount, found[0].Local.dtype);
        var (reached, end) = (parameter.LocalStart, parameter.LocalStart + parameter.LocalCount);
        foreach (var part in found.OrderBy(part => part.Start))
        {
            var stop = Math.Min(end, part.Start + part.Local.numel());
            if (stop <= reached || part.Start > reached) continue;
            result.narrow(0, reached - parameter.LocalStart, stop - reached).copy_(part.Local.narrow(0, reached - part.Start, stop - reached));
            reached = stop;
        }

        if (reached < end) throw new ArgumentException($"The parts of '{name}' end at element {reached} of {parameter.Count}: pass the parts of every rank of the job that took them.", nameof(parts));
        return result;
    }
}

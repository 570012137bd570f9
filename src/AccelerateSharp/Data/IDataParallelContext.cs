using static TorchSharp.torch;

namespace AccelerateSharp.Data;

/// <summary>What the data layer needs to know of the job: who this process is, and a way to agree with the others.</summary>
/// <remarks>
/// Every method is a collective: all ranks call it, in the same order. Ranks that must see the same batch (tensor- or
/// context-parallel peers) share one <see cref="Rank"/>; that is decided by whoever implements this, not by the loaders.
/// </remarks>
internal interface IDataParallelContext
{
    /// <summary>Which share of the data this process reads, from 0.</summary>
    int Rank { get; }

    /// <summary>How many shares there are.</summary>
    int Size { get; }

    /// <summary>Where prepared batches are put.</summary>
    Device Device { get; }

    /// <summary>Rank 0's value, on every rank.</summary>
    T BroadcastObject<T>(T value);

    /// <summary>Overwrites <paramref name="tensor"/> with rank 0's. Same shape, dtype and device type on every rank.</summary>
    void Broadcast(Tensor tensor);

    /// <summary>Every rank's value, in rank order, on every rank.</summary>
    IReadOnlyList<T> AllGatherObject<T>(T value);
}

/// <summary>One process on its own: nothing to agree on.</summary>
internal sealed class SingleProcessContext(Device device) : IDataParallelContext
{
    public static readonly SingleProcessContext Cpu = new(CPU);

    public int Rank => 0;

    public int Size => 1;

    public Device Device { get; } = device;

    public T BroadcastObject<T>(T value) => value;

    public void Broadcast(Tensor tensor)
    {
    }

    public IReadOnlyList<T> AllGatherObject<T>(T value) => [value];
}

using static TorchSharp.torch;

namespace AccelerateSharp.Data;

/// <summary>The job as the data layer sees it: each rank reads a share of its own.</summary>
internal sealed class RankContext(PartialState state) : IDataParallelContext
{
    public int Rank => state.ProcessIndex;

    public int Size => state.NumProcesses;

    public Device Device => state.Device;

    public T BroadcastObject<T>(T value) => state.ProcessGroup is { } group ? group.BroadcastObject(value, root: 0) : value;

    public void Broadcast(Tensor tensor) => state.ProcessGroup?.Broadcast(tensor, root: 0);

    public IReadOnlyList<T> AllGatherObject<T>(T value) => state.ProcessGroup is { } group ? group.AllGatherObject(value) : [value];
}

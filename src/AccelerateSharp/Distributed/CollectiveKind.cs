namespace AccelerateSharp.Distributed;

/// <summary>The operations of a group. The values travel between processes: append, never renumber.</summary>
internal enum CollectiveKind : byte
{
    Barrier = 1,
    AllReduce = 2,
    Reduce = 3,
    Broadcast = 4,
    AllGather = 5,
    AllGatherUneven = 6,
    ReduceScatter = 7,
    AllToAll = 8,
    Gather = 9,
    Scatter = 10,
    Send = 11,
    Receive = 12,
}

using static TorchSharp.torch;

namespace AccelerateSharp.Distributed.Nccl;

/// <summary>The two lanes between this rank and another, one for each direction.</summary>
/// <remarks>
/// Both ranks connect the two lanes in one order, and each lane carries a number before it is used. What NCCL and CUDA do at a first use
/// (map buffers, load kernels) can wait for the whole GPU to come to rest, and a GPU on which a send already waits for its receiver never
/// would: two ranks that both send first would wait for each other forever.
/// </remarks>
internal sealed class NcclPair
{
    private readonly NcclLane _upward;
    private readonly NcclLane _downward;
    private readonly Tensor _token;
    private readonly string _name;
    private int _asked;

    /// <param name="rank">This rank of the group.</param>
    /// <param name="peer">The other one.</param>
    /// <param name="newLane">Makes the lane from one rank to another, which calls the action at its first use.</param>
    /// <param name="token">One Int32 on the GPU, whose value nobody needs.</param>
    internal NcclPair(int rank, int peer, Func<int, int, Action, NcclLane> newLane, Tensor token)
    {
        var (low, high) = (Math.Min(rank, peer), Math.Max(rank, peer));
        _upward = newLane(low, high, ConnectInBackground);
        _downward = newLane(high, low, ConnectInBackground);
        _token = token;
        _name = $"nccl {low} and {high}";
        (Outgoing, Incoming) = rank == low ? (_upward, _downward) : (_downward, _upward);
    }

    /// <summary>From this rank to the other.</summary>
    internal NcclLane Outgoing { get; }

    /// <summary>From the other rank to this one.</summary>
    internal NcclLane Incoming { get; }

    internal IEnumerable<NcclLane> Lanes => [_upward, _downward];

    private void ConnectInBackground()
    {
        if (Interlocked.Exchange(ref _asked, 1) == 0)
            new Thread(Connect) { IsBackground = true, Name = _name }.Start();
    }

    private void Connect()
    {
        try
        {
            foreach (var lane in Lanes)
            {
                lane.Connect();
                lane.Greet(_token);
            }
        }
        catch (Exception e)
        {
            foreach (var lane in Lanes) lane.Refuse(e);
            return;
        }

        foreach (var lane in Lanes) lane.CatchUp();
    }
}

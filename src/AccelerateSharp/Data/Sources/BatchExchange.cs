using System.Text.Json.Nodes;
using AccelerateSharp.Data.Trees;
using static TorchSharp.torch;

namespace AccelerateSharp.Data.Sources;

/// <summary>Sends global steps from rank 0 to everybody; each rank keeps its rows.</summary>
/// <remarks>
/// Per step one small object and one broadcast per tensor. When rank 0 cannot read, the others are told and raise an error too,
/// instead of waiting for a batch that never comes.
/// </remarks>
internal sealed class BatchExchange<TBatch>(LoaderBinding binding)
{
    private readonly IDataParallelContext _context = binding.Context;

    /// <summary>This rank's rows of the last step; default when there are none.</summary>
    public TBatch? Share { get; private set; }

    public bool IsLast { get; private set; }

    public int Remainder { get; private set; } = -1;

    /// <summary>Rank 0: sends a step and disposes of it.</summary>
    public void Send(TBatch step, bool isLast, int remainder)
    {
        var tensors = new List<Tensor>();
        TBatch placed;
        JsonObject message;
        try
        {
            placed = Ownership.Capture(() => TensorTree.Map(step, tensor => tensor.to(_context.Device).contiguous()));
            Ownership.Dispose(step);
            message = new JsonObject { ["last"] = isLast, ["remainder"] = remainder, ["batch"] = TensorTreeWire.Describe(placed, tensors) };
        }
        catch (Exception error)
        {
            Fail(error);
            throw;
        }
        _ = _context.BroadcastObject(message.ToJsonString());
        Keep(placed, tensors, message);
    }

    /// <summary>Rank 0: says that there is nothing more.</summary>
    public void End()
    {
        IsLast = true;
        _ = _context.BroadcastObject("{}");
    }

    /// <summary>Rank 0: says why there is nothing more.</summary>
    public void Fail(Exception error)
    {
        IsLast = true;
        _ = _context.BroadcastObject(new JsonObject { ["error"] = error.Message }.ToJsonString());
    }

    /// <summary>Other ranks: waits for the next step.</summary>
    /// <returns>Whether there is one; this rank may still have no rows in it.</returns>
    public bool Receive()
    {
        var message = JsonNode.Parse(_context.BroadcastObject(string.Empty))!.AsObject();
        if (message["error"] is { } error)
        {
            IsLast = true;
            throw new DataLoadingException(
                $"Rank {_context.Rank} gets no more batches: rank 0, which reads for all ranks, failed with: {error}");
        }
        if (!message.ContainsKey("batch"))
        {
            IsLast = true;
            return false;
        }
        var tensors = new List<Tensor>();
        var step = Ownership.Capture(() => TensorTreeWire.Build<TBatch>(message["batch"], _context.Device, tensors));
        Keep(step, tensors, message);
        return true;
    }

    private void Keep(TBatch step, List<Tensor> tensors, JsonObject message)
    {
        foreach (var tensor in tensors) _context.Broadcast(tensor);
        Share = GlobalSteps.Share(step, _context.Size, _context.Rank);
        Ownership.Dispose(step);
        IsLast = message["last"]!.GetValue<bool>();
        Remainder = message["remainder"]!.GetValue<int>();
    }
}

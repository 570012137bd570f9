using System.Runtime.ExceptionServices;
using AccelerateSharp.Internal.Interop;

namespace AccelerateSharp.Checkpoints.Safetensors;

/// <summary>Brings pieces of files to a GPU: several threads read, each into pinned memory of its own, while the GPU copies what they read before.</summary>
internal static class GpuUpload
{
    /// <summary>Threads beyond this no longer help: together they read faster than the bus takes it.</summary>
    private const int MaxThreads = 8;

    /// <summary>Returns when everything has arrived.</summary>
    internal static void Run(List<FilePiece> pieces, int deviceIndex)
    {
        var context = CudaContext.Of(deviceIndex);
        // The memory may have been in use until just now, by work that libtorch has queued.
        using var available = CudaEvent.Create(context);
        available.Record(TorchCuda.CurrentStream(deviceIndex));
        var next = -1;
        ExceptionDispatchInfo? failure = null;
        var threads = new Thread[Math.Min(pieces.Count, Math.Clamp(Environment.ProcessorCount, 1, MaxThreads))];
        for (var i = 0; i < threads.Length; i++)
        {
            threads[i] = new Thread(Work) { IsBackground = true, Name = "accelerate-upload" };
            threads[i].Start();
        }
        foreach (var thread in threads) thread.Join();
        failure?.Throw();

        void Work()
        {
            try
            {
                using var scope = context.Enter();
                using var lane = new UploadLane(context, FilePiece.MaxLength);
                lane.WaitFor(available);
                for (int i; Volatile.Read(ref failure) is null && (i = Interlocked.Increment(ref next)) < pieces.Count;) lane.Send(pieces[i]);
            }
            catch (Exception e)
            {
                Interlocked.CompareExchange(ref failure, ExceptionDispatchInfo.Capture(e), null);
            }
        }
    }
}

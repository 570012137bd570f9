using System.Runtime.ExceptionServices;
using AccelerateSharp.Internal.Interop;

namespace AccelerateSharp.Checkpoints;

/// <summary>Brings bytes to a GPU: several threads read, each into pinned memory of its own, while the GPU copies what they read before.</summary>
/// <remarks>The pinned memory is kept between calls; one call at a time.</remarks>
internal sealed class GpuUploader : IDisposable
{
    /// <summary>Threads beyond this no longer help: together they read faster than the bus takes it.</summary>
    internal const int MaxLanes = 8;

    /// <summary>What one lane carries before another one is worth its pinned memory, which the driver takes milliseconds to give.</summary>
    private const long BytesPerLane = 32 << 20;

    private readonly CudaContext _context;
    private readonly UploadLane?[] _lanes;
    private readonly int _bufferLength;

    /// <param name="deviceIndex">The GPU.</param>
    /// <param name="maxLanes">The most threads that read.</param>
    /// <param name="bufferLength">The longest piece.</param>
    internal GpuUploader(int deviceIndex, int maxLanes = MaxLanes, int bufferLength = BytePiece.MaxLength)
    {
        _context = CudaContext.Of(deviceIndex);
        _lanes = new UploadLane[Math.Clamp(Environment.ProcessorCount, 1, maxLanes)];
        _bufferLength = bufferLength;
    }

    /// <summary>Uploads behind what the calling thread has queued; returns when everything has arrived.</summary>
    internal static void Run(IReadOnlyList<BytePiece> pieces, int deviceIndex)
    {
        // The memory may have been in use until just now, by work that libtorch has queued.
        using var available = CudaEvent.Create(CudaContext.Of(deviceIndex));
        available.Record(TorchCuda.CurrentStream(deviceIndex));
        var lanes = 1 + pieces.Sum(piece => (long)piece.Length) / BytesPerLane;
        using var uploader = new GpuUploader(deviceIndex, (int)Math.Min(lanes, MaxLanes), pieces.Max(piece => piece.Length));
        uploader.Run(pieces, available);
    }

    /// <summary>Returns when everything has arrived.</summary>
    /// <param name="pieces">What goes where.</param>
    /// <param name="available">Reached when the destinations may be written.</param>
    internal void Run(IReadOnlyList<BytePiece> pieces, CudaEvent available)
    {
        var next = -1;
        ExceptionDispatchInfo? failure = null;
        var threads = new Thread[Math.Min(pieces.Count, _lanes.Length)];
        for (var i = 0; i < threads.Length; i++)
        {
            var lane = i;
            threads[i] = new Thread(() => Work(lane)) { IsBackground = true, Name = "accelerate-upload" };
            threads[i].Start();
        }
        foreach (var thread in threads) thread.Join();
        failure?.Throw();

        void Work(int index)
        {
            try
            {
                using var scope = _context.Enter();
                var lane = _lanes[index] ??= new UploadLane(_context, _bufferLength);
                try
                {
                    lane.WaitFor(available);
                    for (int i; Volatile.Read(ref failure) is null && (i = Interlocked.Increment(ref next)) < pieces.Count;) lane.Send(pieces[i]);
                }
                finally
                {
                    // Also after an error: the GPU may still be reading the buffers.
                    lane.Synchronize();
                }
            }
            catch (Exception e)
            {
                Interlocked.CompareExchange(ref failure, ExceptionDispatchInfo.Capture(e), null);
            }
        }
    }

    public void Dispose()
    {
        using var scope = _context.Enter();
        foreach (var lane in _lanes) lane?.Dispose();
    }
}

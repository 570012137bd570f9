using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.GpuCheck;

/// <summary>This process in its job: where it computes, whom it talks to, and what it found so far.</summary>
internal sealed class Job : IDisposable
{
    private static readonly TimeSpan _joinTimeout = TimeSpan.FromSeconds(60);

    public Job(string backend)
    {
        Backend = backend;
        var worker = WorkerEnvironment.Read();
        (Rank, Size) = (worker.Rank, worker.WorldSize);
        if (backend == "nccl" && !cuda.is_available()) throw new PlatformNotSupportedException($"Rank {Rank}: libtorch sees no CUDA device ({CudaDriver.WhyUnavailable ?? "the driver does"}). Use --backend gloo on CPUs.");
        Device = backend == "nccl" ? new Device(DeviceType.CUDA, worker.LocalRank) : CPU;
        Store = RendezvousStore.Connect(worker, _joinTimeout);
        Store.Join(Rank);
        World = Group("world", TimeSpan.FromSeconds(60));
    }

    public string Backend { get; }

    public int Rank { get; }

    public int Size { get; }

    public Device Device { get; }

    public IRendezvousStore Store { get; }

    public ProcessGroup World { get; }

    public int Failures { get; private set; }

    public int Passed { get; private set; }

    public bool IsCuda => Device.type == DeviceType.CUDA;

    /// <summary>A group of all ranks with a time-out of its own: what breaks it breaks nothing else.</summary>
    public ProcessGroup Group(string name, TimeSpan timeout) => ProcessGroup.Create(Backend, Store, Rank, Size, timeout, name, Device);

    public void Check(bool right, string what)
    {
        if (right)
        {
            Passed++;
            return;
        }

        Failures++;
        Console.WriteLine($"[rank {Rank}] WRONG: {what}");
    }

    /// <summary>Runs a section; an exception is a failure of it and not the end of the program.</summary>
    public void Section(string name, Action run)
    {
        var (passed, failures) = (Passed, Failures);
        var start = Environment.TickCount64;
        try
        {
            using var scope = NewDisposeScope();
            run();
        }
        catch (Exception e)
        {
            Failures++;
            Console.WriteLine($"[rank {Rank}] FAILED: {name}: {e}");
        }

        Say($"{name}: {Passed - passed} checks right, {Failures - failures} wrong, {Environment.TickCount64 - start} ms");
    }

    public void Say(string text) => Console.WriteLine($"[rank {Rank}] {text}");

    public void Dispose()
    {
        World.Dispose();
        Store.Dispose();
    }
}

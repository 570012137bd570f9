using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;
using TorchSharp;

namespace AccelerateSharp.Internal;

/// <summary>What one process knows of its job: its place, its device, the group of all processes. One for the life of the process.</summary>
internal sealed class ProcessTopology
{
    private static readonly Lock _gate = new();
    private static ProcessTopology? _current;

    private ProcessTopology(WorkerEnvironment worker, DistributedType type, torch.Device device, bool debug)
    {
        Worker = worker;
        DistributedType = type;
        Device = device;
        Debug = debug;
    }

    public WorkerEnvironment Worker { get; }

    public DistributedType DistributedType { get; }

    public torch.Device Device { get; }

    public bool Debug { get; }

    public ProcessGroup? Group { get; private set; }

    private IRendezvousStore? Store { get; set; }

    public static bool IsInitialized => _current is not null;

    public static ProcessTopology GetOrCreate(bool cpu, InitProcessGroupKwargs options)
    {
        lock (_gate)
        {
            if (_current is null) return _current = Create(cpu, options);
            if (cpu && _current.Device.type != DeviceType.CPU)
                throw new InvalidOperationException(
                    $"Rank {_current.Worker.Rank} already runs on {_current.Device}; 'cpu: true' must be given to the first Accelerator or PartialState of the process.");
            return _current;
        }
    }

    public static void Destroy()
    {
        lock (_gate)
        {
            var topology = _current;
            _current = null;
            topology?.Group?.Dispose();
            topology?.Store?.Dispose();
        }
    }

    private static ProcessTopology Create(bool cpu, InitProcessGroupKwargs options)
    {
        NativeLibraries.EnsureLoaded();
        var environment = new EnvironmentReader();
        var worker = WorkerEnvironment.Read();
        cpu |= environment.Flag(EnvironmentVariables.UseCpu);
        var device = SelectDevice(cpu, worker.LocalRank, environment);
        var type = worker.WorldSize == 1 ? DistributedType.No
            : device.type == DeviceType.CUDA ? DistributedType.MultiGpu : DistributedType.MultiCpu;
        var debug = environment.Flag(EnvironmentVariables.DebugMode);
        var topology = new ProcessTopology(worker, type, device, debug);
        if (type == DistributedType.MultiCpu && environment.Text(EnvironmentVariables.OmpThreads) is null) ShareCores(worker.LocalWorldSize);
        if (type != DistributedType.No) topology.Connect(options);
        return topology;
    }

    private static torch.Device SelectDevice(bool cpu, int localRank, EnvironmentReader environment)
    {
        if (environment.Text(EnvironmentVariables.TorchDevice) is { } forced) return new torch.Device(forced);
        if (cpu || !torch.cuda_is_available()) return torch.CPU;
        return new torch.Device(DeviceType.CUDA, localRank % torch.cuda.device_count());
    }

    /// <summary>Without this every process would start a thread for each core, and they would fight over them.</summary>
    private static void ShareCores(int localWorldSize) => torch.set_num_threads(Math.Max(1, Environment.ProcessorCount / localWorldSize));

    private void Connect(InitProcessGroupKwargs options)
    {
        Store = RendezvousStore.Connect(Worker, options.RendezvousTimeout);
        Store.Join(Worker.Rank);
        Store.WaitForAll("start", Worker.Rank, Worker.WorldSize, options.RendezvousTimeout);
        Group = ProcessGroup.Create(DistributedType == DistributedType.MultiGpu ? "nccl" : "gloo", Store, Worker.Rank, Worker.WorldSize, options.Timeout, device: Device);
        // A worker that ends in good order says goodbye; one that crashes does not, and its peers are told.
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Destroy();
    }
}

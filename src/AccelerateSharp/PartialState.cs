using AccelerateSharp.Internal;
using TorchSharp;

namespace AccelerateSharp;

/// <summary>Who this process is in the job: rank, world size, device. Every instance of a process sees the same state.</summary>
/// <remarks>
/// Built from the environment that <c>accelerate launch</c>, torchrun, SLURM or MPI set; without any of those it is a job of one
/// process. The first instance connects the workers; later ones cost nothing.
/// </remarks>
public sealed partial class PartialState
{
    private readonly ProcessTopology _topology;

    /// <summary>Reads the topology and, in a job of several processes, connects them.</summary>
    /// <param name="cpu">Use CPUs even where there are GPUs; also forced by <c>ACCELERATE_USE_CPU</c>.</param>
    /// <param name="processGroup">Time-outs of the process group; read by the first instance only.</param>
    /// <exception cref="InvalidOperationException">An earlier instance of this process runs on a GPU and <paramref name="cpu"/> is asked for.</exception>
    /// <exception cref="TimeoutException">A worker of the job never arrived; the message names it.</exception>
    public PartialState(bool cpu = false, InitProcessGroupKwargs? processGroup = null)
    {
        _topology = ProcessTopology.GetOrCreate(cpu, processGroup ?? new());
    }

    /// <summary>How the processes share the work.</summary>
    public DistributedType DistributedType => _topology.DistributedType;

    /// <summary>The communication library, <c>gloo</c> or <c>nccl</c>; null in a job of one process.</summary>
    public string? Backend => _topology.Group?.Backend;

    /// <summary>All processes of the job; null in a job of one process.</summary>
    public ProcessGroup? ProcessGroup => _topology.Group;

    /// <summary>Number of processes of the job (the world size).</summary>
    public int NumProcesses => _topology.Worker.WorldSize;

    /// <summary>Index of this process in the job (its rank), from 0.</summary>
    public int ProcessIndex => _topology.Worker.Rank;

    /// <summary>Index of this process on its machine, from 0.</summary>
    public int LocalProcessIndex => _topology.Worker.LocalRank;

    /// <summary>Number of processes of the job on this machine.</summary>
    internal int LocalNumProcesses => _topology.Worker.LocalWorldSize;

    /// <summary>Whether this is rank 0.</summary>
    public bool IsMainProcess => ProcessIndex == 0;

    /// <summary>Whether this is the first process of its machine.</summary>
    public bool IsLocalMainProcess => LocalProcessIndex == 0;

    /// <summary>Whether this is the last rank.</summary>
    public bool IsLastProcess => ProcessIndex == NumProcesses - 1;

    /// <summary>Where this process computes.</summary>
    public torch.Device Device => _topology.Device;

    /// <summary>Whether more than one process takes part.</summary>
    public bool UseDistributed => NumProcesses > 1;

    /// <summary>Whether collectives are checked on every call (<c>ACCELERATE_DEBUG_MODE</c>).</summary>
    public bool Debug => _topology.Debug;

    /// <summary>Whether this process has a state already.</summary>
    public static bool Initialized => ProcessTopology.IsInitialized;

    /// <summary>Takes leave of the other workers and forgets the state. Called by <see cref="Accelerator.EndTraining"/>.</summary>
    public void DestroyProcessGroup() => ProcessTopology.Destroy();

    /// <inheritdoc/>
    public override string ToString() =>
        $"Distributed environment: {DistributedType}{(Backend is null ? "" : $"  Backend: {Backend}")}\n"
        + $"Num processes: {NumProcesses}\nProcess index: {ProcessIndex}\nLocal process index: {LocalProcessIndex}\nDevice: {Device}";
}

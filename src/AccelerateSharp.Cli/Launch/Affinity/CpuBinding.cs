using System.Globalization;

namespace AccelerateSharp.Cli.Launch.Affinity;

/// <summary>The CPUs of each worker of this machine: those of one NUMA node, next to its GPU.</summary>
/// <param name="Cpus">By local rank; a null stays where the launcher is.</param>
/// <param name="Summary">What was decided, in a line.</param>
internal sealed record CpuBinding(IReadOnlyList<CpuSet?> Cpus, string Summary)
{
    /// <param name="topology">The machine.</param>
    /// <param name="allowed">The CPUs that the launcher itself may use: a container or a cluster may have given it some only.</param>
    /// <param name="workers">The workers of this machine.</param>
    /// <param name="onGpu">Whether they compute on GPUs.</param>
    /// <param name="visibleGpus"><c>CUDA_VISIBLE_DEVICES</c> of the workers; null for all.</param>
    public static CpuBinding Make(NumaTopology topology, CpuSet allowed, int workers, bool onGpu, string? visibleGpus)
    {
        var nodes = topology.Nodes().Select(node => (Number: node.Key, Cpus: node.Value.And(allowed))).Where(node => !node.Cpus.IsEmpty).ToList();
        var cpus = new CpuSet?[workers];
        if (nodes.Count < 2)
            return new CpuBinding(cpus, $"--enable_cpu_affinity has no effect: the CPUs {allowed} that this job may use are on one NUMA node.");
        var gpus = onGpu ? topology.Gpus(visibleGpus) : [];
        var said = new List<string>();
        for (var rank = 0; rank < workers; rank++)
        {
            var gpu = gpus.Count > 0 ? gpus[rank % gpus.Count] : null;
            // Without GPUs the ranks are shared out, neighbours to one node.
            var number = onGpu ? (gpu is null ? null : topology.NodeOf(gpu)) : nodes[rank * nodes.Count / workers].Number;
            var node = nodes.Find(node => node.Number == number);
            cpus[rank] = node.Cpus;
            said.Add(string.Create(CultureInfo.InvariantCulture, $"local rank {rank} ")
                + (node.Cpus is null
                    ? $"anywhere ({(gpu is null ? "its GPU is unknown" : $"GPU {gpu} has no node with CPUs for this job")})"
                    : string.Create(CultureInfo.InvariantCulture, $"on {node.Cpus} (node {node.Number}{(gpu is null ? "" : $", GPU {gpu}")})")));
        }
        return new CpuBinding(cpus, $"CPU affinity: {string.Join("; ", said)}.");
    }
}

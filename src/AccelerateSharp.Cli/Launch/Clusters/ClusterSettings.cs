using System.Globalization;
using AccelerateSharp.Launch;
using Names = AccelerateSharp.Launch.EnvironmentVariables;

namespace AccelerateSharp.Cli.Launch.Clusters;

/// <summary>What a cluster says of this machine's place in the job: SLURM, Kubernetes, or whoever sets torchrun's variables.</summary>
/// <param name="reader">Reads the environment.</param>
/// <param name="pod">This pod, where Kubernetes runs it.</param>
internal sealed class ClusterSettings(SettingReader reader, KubernetesPod? pod)
{
    private static readonly string[] _machineCountNames = ["NNODES", "PET_NNODES", Names.SlurmStepNodes];
    private static readonly string[] _machineRankNames = [Names.NodeRank, "PET_NODE_RANK", Names.SlurmNodeId, KubernetesPod.IndexName];
    private static readonly string[] _addressNames = [Names.MasterAddress, "PET_MASTER_ADDR"];
    private static readonly string[] _portNames = [Names.MasterPort, "PET_MASTER_PORT"];

    /// <summary>The number of machines; null where nobody says it.</summary>
    public Setting<int>? MachineCount => reader.Number(_machineCountNames);

    public Setting<int>? MachineRank => reader.Number(_machineRankNames);

    /// <summary>The address of the first machine.</summary>
    public Setting<string>? Address => reader.Word(_addressNames) ?? SlurmAddress
        ?? (pod?.FirstPod is { } first ? new(first, $"the first pod, from {KubernetesPod.IndexName}", first) : null);

    public Setting<int>? Port => reader.Number(_portNames);

    /// <summary>The processes of each machine; null where nobody says it, or in other words than a number.</summary>
    public Setting<int>? ProcessesPerMachine =>
        int.TryParse(reader.Environment.Text("PET_NPROC_PER_NODE"), NumberStyles.None, CultureInfo.InvariantCulture, out _) ? reader.Number("PET_NPROC_PER_NODE") : null;

    /// <summary>What the user has to know of the cluster, given the machines that were decided on.</summary>
    /// <exception cref="UserErrorException">The cluster started several launchers on this machine.</exception>
    public IEnumerable<string> Notes(Setting<int> machines)
    {
        if (reader.Environment.Text(Names.SlurmStepId) is null)
        {
            // In the batch script itself, which runs on the first node alone.
            if (reader.Environment.Text("SLURM_JOB_ID") is not null && int.TryParse(reader.Environment.Text("SLURM_NNODES"), CultureInfo.InvariantCulture, out var nodes) && nodes > machines.Value)
                yield return $"SLURM gave this job {nodes} nodes, and this launcher runs on one of them: `srun --ntasks-per-node=1 accelerate launch ...` starts one on each.";
            yield break;
        }
        if (MachineCount is { } given && given.Value != machines.Value)
            yield return $"{given} does not count: {machines} says how many machines take part.";
        if (reader.Environment.Text(Names.SlurmStepTasksPerNode) is not { } tasks || reader.Number(Names.SlurmNodeId) is not { } node) yield break;
        if (SlurmVariables.TasksOnNode(tasks, node.Value) is > 1 and var here)
        {
            throw new UserErrorException(
                $"SLURM started {here} tasks on this node ({Names.SlurmStepTasksPerNode}={tasks}), each of them a launcher that starts all workers of the node. "
                + "Pass --ntasks-per-node=1 to srun; or start the program itself with srun, without `accelerate launch`.");
        }
    }

    private Setting<string>? SlurmAddress =>
        reader.Environment.Text(Names.SlurmStepId) is not null && reader.Environment.Text(Names.SlurmStepNodeList) is { } nodes
            ? new(SlurmVariables.FirstHost(nodes), $"from {Names.SlurmStepNodeList}", $"{Names.SlurmStepNodeList}={nodes}")
            : null;
}

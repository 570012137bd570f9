using System.Globalization;

namespace AccelerateSharp.Launch;

/// <summary>SLURM's compressed lists, as srun describes a job step to its tasks.</summary>
internal static class SlurmVariables
{
    /// <summary>The number of tasks on one node, from a list such as <c>4(x2),3</c>; null where the list does not reach that far.</summary>
    public static int? TasksOnNode(string tasksPerNode, int node)
    {
        foreach (var part in tasksPerNode.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var open = part.IndexOf("(x", StringComparison.Ordinal);
            var tasks = int.Parse(open < 0 ? part : part[..open], NumberStyles.None, CultureInfo.InvariantCulture);
            var repeat = open < 0 ? 1 : int.Parse(part[(open + 2)..^1], NumberStyles.None, CultureInfo.InvariantCulture);
            if (node < repeat) return tasks;
            node -= repeat;
        }
        return null;
    }

    /// <summary>The first host of a list such as <c>gpu[003-005,9],login</c>: the one that rank 0 runs on.</summary>
    public static string FirstHost(string nodeList)
    {
        var end = nodeList.AsSpan().IndexOfAny(',', '[');
        if (end < 0) return nodeList;
        if (nodeList[end] == ',') return nodeList[..end];
        var close = nodeList.IndexOf(']', end);
        var first = nodeList[(end + 1)..close].Split(',', '-')[0];
        var rest = nodeList[(close + 1)..];
        var comma = rest.IndexOf(',', StringComparison.Ordinal);
        return nodeList[..end] + first + (comma < 0 ? rest : rest[..comma]);
    }
}

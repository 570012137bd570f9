namespace AccelerateSharp.Cli.Launch.Mpi;

/// <summary>The machines that mpirun starts processes on.</summary>
/// <param name="Path">The file.</param>
/// <param name="Hosts">Their names, in the order of the file: rank 0 is on the first.</param>
internal sealed record HostFile(string Path, IReadOnlyList<string> Hosts)
{
    /// <summary>Reads the forms of Open MPI (<c>host slots=4</c>) and of Hydra (<c>host:4</c>).</summary>
    public static HostFile Read(string path)
    {
        // As the reference's questionnaire writes it.
        if (path == "~" || path.StartsWith("~/", StringComparison.Ordinal))
            path = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile) + path[1..];
        if (!File.Exists(path)) throw new UserErrorException($"There is no file '{path}' (--mpirun_hostfile). It lists the machines, one in a line.");
        var hosts = File.ReadLines(path)
            .Select(line => line.Split('#')[0].Trim()).Where(line => line.Length > 0)
            .Select(line => line.Split([' ', '\t', ':'], 2)[0]).Distinct().ToList();
        return hosts.Count > 0 ? new HostFile(path, hosts) : throw new UserErrorException($"'{path}' (--mpirun_hostfile) names no machine.");
    }
}

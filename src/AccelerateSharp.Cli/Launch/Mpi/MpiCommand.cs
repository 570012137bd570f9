using System.Diagnostics;
using System.Globalization;

namespace AccelerateSharp.Cli.Launch.Mpi;

/// <summary>The mpirun of this machine, and how it is told what to start.</summary>
/// <param name="Program">Its path.</param>
/// <param name="IsOpenMpi">Whether it is Open MPI's; else it is Hydra's, as of Intel MPI, MPICH and MVAPICH.</param>
internal sealed record MpiCommand(string Program, bool IsOpenMpi)
{
    public static MpiCommand Find()
    {
        var program = TargetResolver.OnPath("mpirun") ?? TargetResolver.OnPath("mpiexec")
            ?? throw new UserErrorException("--mpirun_hostfile needs mpirun, which is not on the PATH. Install Open MPI, MPICH or Intel MPI, or put its bin folder on the PATH.");
        using var version = Process.Start(new ProcessStartInfo(program, ["--version"]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true })!;
        version.StandardInput.Close();
        var error = version.StandardError.ReadToEndAsync();
        var output = version.StandardOutput.ReadToEnd() + error.GetAwaiter().GetResult();
        version.WaitForExit();
        return new MpiCommand(program, output.Contains("Open MPI", StringComparison.OrdinalIgnoreCase) || output.Contains("OpenRTE", StringComparison.OrdinalIgnoreCase));
    }

    /// <summary>The command that starts a program on all machines.</summary>
    /// <param name="hosts">The machines.</param>
    /// <param name="perMachine">The processes of each machine.</param>
    /// <param name="processes">The processes of all machines.</param>
    /// <param name="variables">Names of variables that the processes get. Names alone: values would stand in the list of processes for all to read.</param>
    /// <param name="target">The program.</param>
    public Target Starting(HostFile hosts, int perMachine, int processes, IEnumerable<string> variables, Target target)
    {
        var (k, n) = (perMachine.ToString(CultureInfo.InvariantCulture), processes.ToString(CultureInfo.InvariantCulture));
        return new Target(Program, IsOpenMpi
            ? ["--hostfile", hosts.Path, "--npernode", k, "-n", n, "--bind-to", "socket", .. variables.SelectMany(name => (string[])["-x", name]), target.Program, .. target.Arguments]
            : ["-f", hosts.Path, "-ppn", k, "-n", n, "-genvlist", string.Join(',', variables), target.Program, .. target.Arguments]);
    }
}

using AccelerateSharp.Cli.Launch;
using AccelerateSharp.Cli.Launch.Mpi;

namespace AccelerateSharp.Cli.Tests.Launch;

public sealed class MpiTests : IDisposable
{
    // Starts the ranks as Open MPI does on one machine, and ends with the first failure.
    private const string OpenMpi = """
        #!/bin/sh
        [ "$1" = --version ] && { echo 'mpirun (Open MPI) 4.1.4'; exit 0; }
        echo "hosts $(cat "$2" | tr '\n' ' ')"
        while [ "$1" != -n ]; do shift; done
        n=$2; shift 4
        while [ "$1" = -x ]; do eval "[ -n \"\${$2}\" ]" || { echo "no $2"; exit 99; }; shift 2; done
        i=0
        while [ $i -lt $n ]; do
          OMPI_COMM_WORLD_RANK=$i OMPI_COMM_WORLD_SIZE=$n OMPI_COMM_WORLD_LOCAL_RANK=$i OMPI_COMM_WORLD_LOCAL_SIZE=$n "$@" &
          pids="$pids $!"; i=$((i + 1))
        done
        code=0
        for pid in $pids; do wait $pid || code=$?; done
        exit $code
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate tests ").FullName;
    private readonly string _hosts;

    public MpiTests()
    {
        _hosts = Path.Combine(_folder, "hosts");
        File.WriteAllText(_hosts, "localhost slots=2\n");
        var mpirun = Path.Combine(_folder, "mpirun");
        File.WriteAllText(mpirun, OpenMpi);
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(mpirun, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    [Theory]
    [InlineData(true, "--hostfile F --npernode 4 -n 16 --bind-to socket -x A -x B program --cpu")]
    [InlineData(false, "-f F -ppn 4 -n 16 -genvlist A,B program --cpu")]
    public void The_command_is_that_of_the_MPI_at_hand(bool isOpenMpi, string expected)
    {
        var command = new MpiCommand("/usr/bin/mpirun", isOpenMpi).Starting(new HostFile("F", ["n0"]), 4, 16, ["A", "B"], new Target("program", ["--cpu"]));
        Assert.Equal("/usr/bin/mpirun", command.Program);
        Assert.Equal(expected, string.Join(' ', command.Arguments));
    }

    [Fact]
    public void Host_files_of_either_form_name_the_machines()
    {
        File.WriteAllText(_hosts, "# ours\nn0 slots=4\n\nn1:4\nn0\n");
        Assert.Equal(["n0", "n1"], HostFile.Read(_hosts).Hosts);
        File.WriteAllText(_hosts, "# nobody\n");
        Assert.Contains("names no machine", Assert.Throws<UserErrorException>(() => HostFile.Read(_hosts)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Workers_that_mpirun_starts_meet()
    {
        // What an outer launcher says of its own ranks is not for them.
        var (code, output, error) = await RunAsync([Tool.RendezvousWorker, "return"], ("RANK", "5"), ("WORLD_SIZE", "8"));
        Assert.Equal((0, 2), (code, output.Count(line => line.StartsWith("ready", StringComparison.Ordinal))));
        Assert.Contains("hosts localhost slots=2 ", output);
        // The token travels by name: values on a command line are there for all to read.
        Assert.Contains(error, line => line.Contains("-x ACCELERATE_RDZV_TOKEN -x", StringComparison.Ordinal));
        Assert.DoesNotContain(error, line => line.Contains("ACCELERATE_RDZV_TOKEN=", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_exit_code_of_mpirun_is_passed_on()
    {
        var (code, _, error) = await RunAsync(["sh", "-c", "exit 3"]);
        Assert.Equal(3, code);
        Assert.Contains(error, line => line.StartsWith("accelerate: mpirun failed with exit code 3", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Without_mpirun_or_with_machines_that_come_and_go_nothing_starts()
    {
        File.Delete(Path.Combine(_folder, "mpirun"));
        var (code, _, error) = await Tool.RunAsync(
            new Dictionary<string, string> { ["PATH"] = _folder }, "launch", "--cpu", "--mpirun_hostfile", _hosts, "/bin/sh", "-c", "true");
        Assert.Equal(1, code);
        Assert.Contains(error, line => line.StartsWith("accelerate: --mpirun_hostfile needs mpirun", StringComparison.Ordinal));
        Assert.Equal(1, (await Tool.RunAsync("launch", "--cpu", "--nnodes", "1:2", "--mpirun_hostfile", _hosts, "/bin/sh", "-c", "true")).ExitCode);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private Task<(int ExitCode, string[] Output, string[] Error)> RunAsync(string[] target, params (string Name, string Value)[] variables)
    {
        var environment = new Dictionary<string, string> { ["PATH"] = $"{_folder}:{Environment.GetEnvironmentVariable("PATH")}" };
        foreach (var (name, value) in variables) environment[name] = value;
        return Tool.RunAsync(environment, ["launch", "--cpu", "--num_processes", "2", "--mpirun_hostfile", _hosts, .. target]);
    }
}

using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace AccelerateSharp.DistributedTests;

/// <summary>Real worker processes that run one scenario; whatever happens, none outlives this object.</summary>
internal sealed class WorkerGroup : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate-test-").FullName;
    private readonly Worker[] _workers;

    private WorkerGroup(string scenario, int size, string[] arguments, IReadOnlyDictionary<string, string>? environment)
    {
        var port = FreePort();
        _workers = new Worker[size];
        try
        {
            for (var rank = 0; rank < size; rank++) _workers[rank] = new Worker(Start(scenario, rank, size, port, arguments, environment));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public Worker this[int rank] => _workers[rank];

    /// <summary>Starts a scenario on a number of ranks.</summary>
    public static WorkerGroup Start(string scenario, int size, string[]? arguments = null, IReadOnlyDictionary<string, string>? environment = null) =>
        new(scenario, size, arguments ?? [], environment);

    /// <summary>Runs a scenario to its end; every rank must succeed. Returns what each rank printed.</summary>
    public static string[] Run(string scenario, int size, params string[] arguments)
    {
        using var group = Start(scenario, size, arguments);
        group.WaitForExit();
        group.AssertSuccess();
        return [.. group._workers.Select(w => w.Output)];
    }

    /// <summary>Waits for all ranks; past the limit the test fails with what they had printed.</summary>
    public void WaitForExit(TimeSpan? limit = null)
    {
        var end = Stopwatch.GetTimestamp() + ((limit ?? TimeSpan.FromSeconds(120)).Ticks * (Stopwatch.Frequency / TimeSpan.TicksPerSecond));
        foreach (var worker in _workers)
        {
            var left = TimeSpan.FromSeconds(Math.Max(0, (end - Stopwatch.GetTimestamp()) / (double)Stopwatch.Frequency));
            if (!worker.WaitForExit(left)) Assert.Fail($"Not finished in time.\n{Report()}");
        }
    }

    public void AssertSuccess()
    {
        if (_workers.Any(w => w.ExitCode != 0)) Assert.Fail(Report());
    }

    public void Dispose()
    {
        foreach (var worker in _workers) worker?.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>What every rank printed, the first one that failed before the others.</summary>
    public string Report() => string.Join('\n', _workers
        .Select((w, rank) => (Worker: w, Rank: rank))
        .OrderBy(p => p.Worker.FailedAt ?? DateTime.MaxValue)
        .Select(p => $"--- rank {p.Rank}: {(p.Worker.HasExited ? $"exit code {p.Worker.ExitCode}" : "running")}\n{p.Worker.Output}{p.Worker.Errors}"));

    private ProcessStartInfo Start(string scenario, int rank, int size, int port, string[] arguments, IReadOnlyDictionary<string, string>? environment)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        start.ArgumentList.Add(WorkerAssembly());
        start.ArgumentList.Add(scenario);
        foreach (var argument in arguments) start.ArgumentList.Add(argument);
        var variables = new Dictionary<string, string>
        {
            ["RANK"] = Text(rank),
            ["WORLD_SIZE"] = Text(size),
            ["LOCAL_RANK"] = Text(rank),
            ["LOCAL_WORLD_SIZE"] = Text(size),
            ["MASTER_ADDR"] = "127.0.0.1",
            ["MASTER_PORT"] = Text(port),
            ["OMP_NUM_THREADS"] = "1",
            ["TEST_FOLDER"] = _folder,
        };
        foreach (var (name, value) in variables) start.Environment[name] = value;
        foreach (var (name, value) in environment ?? new Dictionary<string, string>()) start.Environment[name] = value;
        return start;
    }

    private static string WorkerAssembly()
    {
        // artifacts/bin/PROJECT/CONFIGURATION/: the worker lies beside this project.
        var here = new DirectoryInfo(AppContext.BaseDirectory);
        return Path.Combine(here.Parent!.Parent!.FullName, "AccelerateSharp.TestWorker", here.Name, "AccelerateSharp.TestWorker.dll");
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}

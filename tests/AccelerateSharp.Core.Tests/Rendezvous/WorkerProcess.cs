using System.Diagnostics;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Core.Tests.Rendezvous;

/// <summary>A real worker process, see AccelerateSharp.RendezvousWorker.</summary>
internal sealed class WorkerProcess : IDisposable
{
    private readonly Process _process;

    public WorkerProcess(WorkerEnvironment environment, params string[] scenario)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "AccelerateSharp.RendezvousWorker.dll"), .. scenario])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in environment.ToVariables()) start.Environment[name] = value;
        _process = Process.Start(start)!;
    }

    /// <summary>The next line that the worker prints.</summary>
    public async Task<string> ReadLineAsync() =>
        await _process.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken)
        ?? throw new InvalidOperationException("The worker ended: " + await _process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken));

    public async Task<(int ExitCode, string Error)> EndAsync()
    {
        var error = await _process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await _process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return (_process.ExitCode, error);
    }

    /// <summary>As the kernel's out-of-memory killer does it.</summary>
    public void Kill() => _process.Kill();

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.Dispose();
    }
}

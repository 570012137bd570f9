using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace AccelerateSharp.Cli.Tests;

/// <summary>The built <c>accelerate</c>, run as a process.</summary>
internal sealed partial class Tool : IDisposable
{
    public const int SigHup = 1, SigInt = 2, SigKill = 9, SigTerm = 15;

    private readonly Process _process;
    private readonly BlockingCollection<string> _news = [];
    private readonly ConcurrentQueue<string> _output = [];
    private readonly ConcurrentQueue<string> _error = [];

    private Tool(ProcessStartInfo start, bool keepsInput = false)
    {
        // A configuration that the developer has is not for the tests.
        if (!start.Environment.TryGetValue("HF_HOME", out var home) || home == Environment.GetEnvironmentVariable("HF_HOME"))
            start.Environment["HF_HOME"] = System.IO.Path.Combine(AppContext.BaseDirectory, "no-configuration");
        start.RedirectStandardInput = start.RedirectStandardOutput = start.RedirectStandardError = true;
        _process = new Process { StartInfo = start };
        _process.OutputDataReceived += (_, line) => Add(_output, line.Data);
        _process.ErrorDataReceived += (_, line) => Add(_error, line.Data);
        _process.Start();
        if (!keepsInput) _process.StandardInput.Close();
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>The tool as it was built beside the tests, or another build of it: the one that is compiled ahead of time, say.</summary>
    public static string Path { get; } =
        Environment.GetEnvironmentVariable("ACCELERATE_TEST_TOOL") ?? System.IO.Path.Combine(AppContext.BaseDirectory, "accelerate");

    public static string RendezvousWorker { get; } = System.IO.Path.Combine(AppContext.BaseDirectory, "AccelerateSharp.RendezvousWorker.dll");

    /// <summary>A worker with the training library; artifacts/bin/PROJECT/CONFIGURATION/: it lies beside this project.</summary>
    public static string TestWorker { get; } = System.IO.Path.Combine(
        new DirectoryInfo(AppContext.BaseDirectory).Parent!.Parent!.FullName, "AccelerateSharp.TestWorker", new DirectoryInfo(AppContext.BaseDirectory).Name, "AccelerateSharp.TestWorker.dll");

    public int Id => _process.Id;

    public string[] Output => [.. _output];

    public string[] Error => [.. _error];

    public static Tool Start(params string[] arguments) => Start(new Dictionary<string, string>(), arguments);

    public static Tool Start(IReadOnlyDictionary<string, string> environment, params string[] arguments)
    {
        var start = new ProcessStartInfo(Path, arguments);
        foreach (var (name, value) in environment) start.Environment[name] = value;
        return new Tool(start);
    }

    /// <summary>Runs a command line of the shell in which <c>$0</c> is the tool.</summary>
    public static Tool StartInShell(string line) => new(new ProcessStartInfo("sh", ["-c", line, Path]));

    /// <summary>Runs a command line at a terminal of its own, with util-linux's <c>script</c>.</summary>
    public static Tool StartAtTerminal(string line) => new(new ProcessStartInfo("script", ["-qec", line, "/dev/null"]), keepsInput: true);

    public static Task<(int ExitCode, string[] Output, string[] Error)> RunAsync(params string[] arguments) =>
        RunAsync(new Dictionary<string, string>(), arguments);

    public static async Task<(int ExitCode, string[] Output, string[] Error)> RunAsync(
        IReadOnlyDictionary<string, string> environment, params string[] arguments)
    {
        using var tool = Start(environment, arguments);
        return (await tool.EndAsync(), tool.Output, tool.Error);
    }

    public async Task<int> EndAsync()
    {
        await _process.WaitForExitAsync(TestContext.Current.CancellationToken);
        return _process.ExitCode;
    }

    /// <summary>Waits for lines of either stream that have this text; returns them.</summary>
    public List<string> WaitFor(string text, int count = 1)
    {
        var found = new List<string>();
        while (found.Count < count)
        {
            if (!_news.TryTake(out var line, TimeSpan.FromSeconds(60)))
                throw new TimeoutException($"'{text}' was printed {found.Count} time(s):\n{string.Join('\n', [.. Output, .. Error])}");
            if (line.Contains(text, StringComparison.Ordinal)) found.Add(line);
        }
        return found;
    }

    /// <summary>Waits for a line that has one of these texts.</summary>
    public string WaitForEither(params string[] texts)
    {
        while (_news.TryTake(out var line, TimeSpan.FromSeconds(60)))
        {
            if (texts.Any(text => line.Contains(text, StringComparison.Ordinal))) return line;
        }
        throw new TimeoutException($"None of '{string.Join("', '", texts)}' was printed:\n{string.Join('\n', [.. Output, .. Error])}");
    }

    public void Signal(int signal) => Assert.Equal(0, Send(Id, signal));

    /// <summary>Types at the terminal of a tool that was started there.</summary>
    public void Type(string text)
    {
        _process.StandardInput.Write(text);
        _process.StandardInput.Flush();
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }

    private void Add(ConcurrentQueue<string> stream, string? line)
    {
        if (line is null) return;
        stream.Enqueue(line);
        _news.Add(line);
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    public static partial int Send(int pid, int signal);
}

using System.Diagnostics;
using System.Text;

namespace AccelerateSharp.DistributedTests;

/// <summary>One worker process and what it printed.</summary>
internal sealed class Worker : IDisposable
{
    private readonly Process _process;
    private readonly StringBuilder _output = new();
    private readonly StringBuilder _errors = new();
    private readonly List<(string Text, TaskCompletionSource Seen)> _waiting = [];

    public Worker(ProcessStartInfo start)
    {
        _process = new Process { StartInfo = start };
        _process.OutputDataReceived += (_, e) => Append(_output, e.Data);
        _process.ErrorDataReceived += (_, e) => Append(_errors, e.Data);
        _process.Start();
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public bool HasExited => _process.HasExited;

    public int ExitCode => _process.ExitCode;

    public DateTime? FailedAt => _process.HasExited && _process.ExitCode != 0 ? _process.ExitTime : null;

    public string Output => Text(_output);

    public string Errors => Text(_errors);

    /// <summary>SIGKILL: the process ends without a word.</summary>
    public void Kill() => _process.Kill();

    /// <summary>Waits until the worker has printed a text.</summary>
    public void WaitForOutput(string text, TimeSpan? limit = null)
    {
        var seen = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_output)
        {
            if (_output.ToString().Contains(text, StringComparison.Ordinal)) return;
            _waiting.Add((text, seen));
        }
        if (!seen.Task.Wait(limit ?? TimeSpan.FromSeconds(60))) Assert.Fail($"'{text}' was not printed.\n{Output}{Errors}");
    }

    public bool WaitForExit(TimeSpan limit)
    {
        if (!_process.WaitForExit(limit)) return false;
        _process.WaitForExit(); // Also waits for the rest of the output.
        return true;
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill(entireProcessTree: true);
        _process.WaitForExit();
        _process.Dispose();
    }

    private static string Text(StringBuilder text)
    {
        lock (text) return text.ToString();
    }

    private void Append(StringBuilder text, string? line)
    {
        if (line is null) return;
        lock (text) text.AppendLine(line);
        lock (_output)
        {
            foreach (var (wanted, seen) in _waiting)
                if (line.Contains(wanted, StringComparison.Ordinal)) seen.TrySetResult();
        }
    }
}

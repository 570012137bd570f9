using System.Globalization;
using System.Text;

namespace AccelerateSharp.Cli.Launch;

/// <summary>Our standard output and standard error, shared by all workers: whole lines only, each with the rank it comes from.</summary>
/// <remarks>
/// A line that a worker keeps rewriting (a progress bar) is shown in place on a terminal, below what is printed; elsewhere it is
/// shown as it is when it ends.
/// </remarks>
/// <param name="isQuiet">Whether the launcher keeps to itself what it decided and how it accounts for a failure.</param>
internal sealed class Screen(bool isQuiet = false)
{
    private static readonly byte[] _erase = "\r\e[K"u8.ToArray();
    private static readonly int[] _colours = [36, 33, 32, 35, 34, 96, 93, 92];

    private readonly Lock _gate = new();
    private readonly bool _isTerminal = IsTerminal;
    private readonly bool _hasColour = string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));
    private byte[]? _progress;
    private WorkerName _progressOf;

    /// <summary>Whether lines can be rewritten.</summary>
    public static bool IsTerminal => !Console.IsOutputRedirected && !Console.IsErrorRedirected;

    /// <summary>Prints a line of a worker.</summary>
    public void Line(WorkerName worker, bool isError, ReadOnlySpan<byte> line)
    {
        lock (_gate)
        {
            EraseProgress();
            if (_progressOf == worker) _progress = null;
            Posix.WriteAll(isError ? Posix.StandardError : Posix.StandardOutput, [.. Prefix(worker), .. line, (byte)'\n']);
            ShowProgress();
        }
    }

    /// <summary>Shows the present state of a line that a worker rewrites.</summary>
    public void Progress(WorkerName worker, ReadOnlySpan<byte> line)
    {
        if (!_isTerminal) return;
        lock (_gate)
        {
            EraseProgress();
            _progress = [.. Prefix(worker), .. line];
            _progressOf = worker;
            ShowProgress();
        }
    }

    /// <summary>Prints what a user may not want to hear of the launcher: a decision, or its account of a failure that the worker told itself.</summary>
    public void Note(string text)
    {
        if (!isQuiet) Say(text);
    }

    /// <summary>Prints a line of the launcher itself.</summary>
    public void Say(string text)
    {
        lock (_gate)
        {
            EraseProgress();
            _progress = null;
            try
            {
                Posix.WriteAll(Posix.StandardError, Encoding.UTF8.GetBytes(text + "\n"));
            }
            catch (IOException)
            {
                // Nobody reads it; the exit code tells the rest.
            }
        }
    }

    /// <summary>Begins a new line after a worker that printed past this screen and may have been ended in the middle of one.</summary>
    public void BreakLine()
    {
        if (!isQuiet) Say("");
    }

    private byte[] Prefix(WorkerName worker)
    {
        var name = $"[{worker}] ";
        return Encoding.ASCII.GetBytes(_isTerminal && _hasColour
            ? string.Create(CultureInfo.InvariantCulture, $"\e[{_colours[worker.Rank % _colours.Length]}m{name}\e[0m")
            : name);
    }

    private void EraseProgress()
    {
        if (_progress is not null) Posix.WriteAll(Posix.StandardError, _erase);
    }

    private void ShowProgress()
    {
        if (_progress is not null) Posix.WriteAll(Posix.StandardError, _progress);
    }
}

using System.Diagnostics;
using System.Globalization;
using AccelerateSharp.Internal;
using AccelerateSharp.Launch;

namespace AccelerateSharp;

/// <summary>How far a loop has come, at a terminal and on the main process of each machine only: share, count, speed and the time left.</summary>
/// <remarks>Written to the standard error stream, on one line that is rewritten twice a second. Where that stream is no terminal nothing is written, unless <c>plainInterval</c> asks for lines.</remarks>
/// <example><code>
/// using var progress = new ProgressBar(steps);
/// foreach (var (inputs, targets) in loader)
/// {
///     …
///     progress.Advance(() => $"loss {loss.item&lt;float&gt;():F3}");
/// }
/// </code></example>
public sealed class ProgressBar : IDisposable
{
    private const int Cells = 20;
    private static readonly TimeSpan _rewriteInterval = TimeSpan.FromSeconds(0.5);

    private readonly Stopwatch _watch = Stopwatch.StartNew();
    private readonly TextWriter? _output;
    private readonly long _total;
    private readonly string _unit;
    private readonly bool _rewrites;
    private readonly TimeSpan _interval;
    private TimeSpan _next;
    private int _width;

    /// <summary>Starts the clock.</summary>
    /// <param name="total">How many units the loop has; 0 where that is not known.</param>
    /// <param name="unit">What is counted, such as <c>steps</c> or <c>tokens</c>.</param>
    /// <param name="mainProcessOnly">Whether the other processes stay silent.</param>
    /// <param name="plainInterval">Writes a line that often where there is no terminal; by default none at all.</param>
    public ProgressBar(long total, string unit = "steps", bool mainProcessOnly = true, TimeSpan? plainInterval = null)
        : this(total, unit, plainInterval, IsSilent(mainProcessOnly) ? null : Console.Error, HasTerminal)
    {
    }

    internal ProgressBar(long total, string unit, TimeSpan? plainInterval, TextWriter? output, bool isTerminal)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(total);
        ArgumentException.ThrowIfNullOrEmpty(unit);
        (_total, _unit, _rewrites) = (total, unit, isTerminal);
        _output = isTerminal || plainInterval is not null ? output : null;
        _interval = isTerminal ? _rewriteInterval : plainInterval ?? TimeSpan.MaxValue;
        _next = isTerminal ? TimeSpan.Zero : _interval;
    }

    /// <summary>How many units are done.</summary>
    public long Done { get; private set; }

    /// <summary>Counts one unit, or several.</summary>
    /// <param name="note">What is written behind the count. Asked only when something is written, so a loss need not be read in every step.</param>
    /// <param name="by">How many units.</param>
    public void Advance(Func<string>? note = null, long by = 1)
    {
        Done += by;
        if (_output is null || (_watch.Elapsed < _next && Done != _total)) return;
        _next = _watch.Elapsed + _interval;
        var line = Line(note?.Invoke());
        // The carriage return comes last: it tells `accelerate launch` that the line is complete for now.
        _output.Write(_rewrites ? line.PadRight(_width) + "\r" : line + "\n");
        _width = line.Length;
    }

    /// <summary>Ends the line, so that what is printed next has one of its own.</summary>
    public void Dispose()
    {
        if (_rewrites && _width > 0) _output?.Write("\n");
        _width = 0;
    }

    // Under `accelerate launch` the stream is a pipe, whose lines the launcher shows at its own terminal.
    private static bool HasTerminal => !Console.IsErrorRedirected || Environment.GetEnvironmentVariable(EnvironmentVariables.Terminal) == "1";

    private static bool IsSilent(bool mainProcessOnly) => mainProcessOnly && ProcessTopology.IsInitialized && !new PartialState().IsLocalMainProcess;

    private string Line(string? note)
    {
        var speed = Done / Math.Max(_watch.Elapsed.TotalSeconds, 1e-3);
        var line = string.Create(CultureInfo.InvariantCulture, $"{Done:N0} {_unit}, {speed:N1}/s");
        if (_total > 0)
        {
            var share = Math.Min(1, Done / (double)_total);
            var filled = (int)(share * Cells);
            var left = TimeSpan.FromSeconds(Math.Max(0, _total - Done) / Math.Max(speed, 1e-9));
            var clock = left.TotalDays >= 1 ? "more than a day" : left.ToString(left.TotalHours >= 1 ? @"h\:mm\:ss" : @"m\:ss", CultureInfo.InvariantCulture);
            line = string.Create(CultureInfo.InvariantCulture,
                $"{100 * share,3:F0} % [{new string('#', filled)}{new string('.', Cells - filled)}] {Done:N0}/{_total:N0} {_unit}, {speed:N1}/s, {clock} left");
        }
        return note is null ? line : $"{line}  {note}";
    }
}

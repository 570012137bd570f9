using System.Collections.Concurrent;
using System.Diagnostics;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch;

/// <summary>The workers of this machine in one attempt, from their start until none is left; finds out which one failed first.</summary>
/// <param name="screen">Where everything is printed.</param>
/// <param name="events">What happens.</param>
/// <param name="signal">Sends a signal to all workers.</param>
/// <param name="failure">What a dead worker has left in the store, or null.</param>
/// <param name="grace">How long workers that were asked to end may take, before they are killed.</param>
/// <param name="terminalSignals">Whether the terminal sends Ctrl-C to the workers as well, so that it needs not be passed on.</param>
/// <param name="news">Told of a failure, and of a signal to the launcher, when they happen: other machines may depend on it. Null where there are none.</param>
internal sealed class Job(
    Screen screen, BlockingCollection<LaunchEvent> events, Action<int> signal, Func<int, FailureReport?> failure, TimeSpan grace, bool terminalSignals,
    IJobNews? news)
{
    /// <summary>How long after a worker that only suffered from another's failure that other one may take to end by itself.</summary>
    private static readonly TimeSpan _causePatience = TimeSpan.FromSeconds(3);

    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly List<Failure> _failures = [];
    private int _interruptedBy;
    private bool _isStopping, _isOrdered;
    private TimeSpan? _deadline;
    private Worker? _slowCause;

    /// <summary>Stays with the workers until the last one has ended, and says how the attempt ended.</summary>
    public JobEnd Supervise(IReadOnlyCollection<Worker> workers)
    {
        var running = workers.ToHashSet();
        var status = default(ExitStatus);
        while (running.Count > 0)
        {
            switch (Next())
            {
                case null when _isStopping:
                    signal(Posix.SigKill);
                    _deadline = null;
                    break;
                case null:
                    // It may have said why it ends long before it has ended: writing a core dump takes its time.
                    _slowCause = running.FirstOrDefault(worker => failure(worker.Rank) is { IsConsequence: false });
                    Stop(Posix.SigTerm);
                    break;
                case LaunchEvent.Exited exited:
                    running.Remove(exited.Worker);
                    if (!exited.Status.Succeeded)
                    {
                        if (exited.Worker.PrintsItself) screen.BreakLine();
                        if (status.Succeeded) status = exited.Status;
                        Failed(exited, running.Count);
                    }
                    break;
                case LaunchEvent.Signalled signalled:
                    Interrupted(signalled.Signal);
                    break;
                case LaunchEvent.OutputClosed when !_isStopping:
                    _interruptedBy = Posix.SigPipe;
                    Stop(Posix.SigTerm);
                    break;
                case LaunchEvent.Told told when news?.EndsAttempt(told) == true:
                    _isOrdered = true;
                    if (!_isStopping) Stop(Posix.SigTerm);
                    break;
            }
        }
        foreach (var worker in workers) worker.Drain(TimeSpan.FromSeconds(1));
        if (Cause() is { } cause && _interruptedBy == 0)
        {
            Explain(cause, workers.Count);
            return new JobEnd(cause.Status.Code, cause, Signal: 0, _isOrdered);
        }
        return new JobEnd(_interruptedBy == 0 || status.Succeeded ? status.Code : 128 + _interruptedBy, Cause: null, _interruptedBy, _isOrdered);
    }

    private LaunchEvent? Next()
    {
        var left = _deadline is { } deadline ? deadline - _clock.Elapsed : Timeout.InfiniteTimeSpan;
        if (_deadline is not null && left < TimeSpan.Zero) left = TimeSpan.Zero;
        return events.TryTake(out var next, left) ? next : null;
    }

    private void Failed(LaunchEvent.Exited exited, int stillRunning)
    {
        if ((_isStopping && exited.Worker != _slowCause) || _interruptedBy != 0) return; // We ended it ourselves.
        var failed = new Failure(exited.Worker, exited.Status, failure(exited.Worker.Rank), _clock.Elapsed);
        _failures.Add(failed);
        news?.Failed(failed);
        if (stillRunning == 0 || _isStopping) return;
        // One that reports a lost peer is not the cause: the one that it lost is ending, and is given the time to tell why.
        if (failed.IsConsequence) _deadline ??= _clock.Elapsed + _causePatience;
        else Stop(Posix.SigTerm);
    }

    private void Interrupted(int number)
    {
        if (_interruptedBy != 0)
        {
            signal(Posix.SigKill);
            return;
        }
        _interruptedBy = number;
        news?.Interrupted(number);
        if (number == Posix.SigInt)
        {
            // A program may want to save its state on Ctrl-C, for as long as the user likes: a second one ends it.
            if (!terminalSignals) signal(Posix.SigInt);
        }
        else
        {
            Stop(Posix.SigTerm);
        }
    }

    private void Stop(int number)
    {
        _isStopping = true;
        _deadline = _clock.Elapsed + grace;
        signal(number);
    }

    private Failure? Cause() => _failures.FirstOrDefault(failed => !failed.IsConsequence) ?? _failures.FirstOrDefault();

    private void Explain(Failure cause, int workerCount)
    {
        var others = workerCount > 1 ? ", and the others were stopped" : "";
        screen.Note($"accelerate: {cause.Worker.Name} failed with {cause.Status} after {cause.At.TotalSeconds:0.0} s{others}.");
        if (cause.Report is { } report) screen.Note("accelerate: its error: " + report.Message);
        var tail = cause.Worker.ErrorTail;
        if (tail.Count == 0) return;
        screen.Note($"accelerate: its last {tail.Count} line(s) of standard error:");
        foreach (var line in tail) screen.Note("    " + line);
    }
}

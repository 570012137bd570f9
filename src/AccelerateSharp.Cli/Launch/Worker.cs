namespace AccelerateSharp.Cli.Launch;

/// <summary>One started process of the job.</summary>
internal sealed class Worker
{
    private const int TailLines = 20;

    private readonly ChildProcess _process;
    private readonly LineTail _errorTail = new(TailLines);
    private readonly List<OutputPump> _pumps = [];

    /// <param name="name">What the screen calls it.</param>
    /// <param name="process">The process.</param>
    /// <param name="screen">Where its output goes.</param>
    /// <param name="files">Where its output goes as well; null for a stream that is not kept.</param>
    /// <param name="report">Told of its end.</param>
    public Worker(WorkerName name, ChildProcess process, Screen screen, (Stream? Output, Stream? Error) files, Action<LaunchEvent> report)
    {
        Name = name;
        _process = process;
        if (process.Output is { } output) _pumps.Add(new OutputPump(name, isError: false, output, screen, tail: null, files.Output, Closed));
        if (process.Error is { } error) _pumps.Add(new OutputPump(name, isError: true, error, screen, _errorTail, files.Error, Closed));
        new Thread(() => report(new LaunchEvent.Exited(this, _process.Wait())), 256 * 1024) { IsBackground = true, Name = $"end of {name}" }.Start();

        void Closed() => report(new LaunchEvent.OutputClosed());
    }

    public WorkerName Name { get; }

    public int Rank => Name.Rank;

    public int ProcessId => _process.Id;

    /// <summary>Whether it prints to our own standard output and error, past the screen.</summary>
    public bool PrintsItself => _pumps.Count == 0;

    /// <summary>The last lines that it wrote to standard error.</summary>
    public IReadOnlyList<string> ErrorTail => _errorTail.Lines();

    public void Drain(TimeSpan timeout)
    {
        foreach (var pump in _pumps) pump.Drain(timeout);
    }
}

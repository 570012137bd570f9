namespace AccelerateSharp.Cli.Launch;

/// <summary>One started process of the job.</summary>
internal sealed class Worker
{
    private const int TailLines = 20;

    private readonly ChildProcess _process;
    private readonly LineTail _errorTail = new(TailLines);
    private readonly List<OutputPump> _pumps = [];

    public Worker(int rank, ChildProcess process, Screen screen, Action<LaunchEvent> report)
    {
        Rank = rank;
        _process = process;
        if (process.Output is { } output) _pumps.Add(new OutputPump(rank, isError: false, output, screen, tail: null, Closed));
        if (process.Error is { } error) _pumps.Add(new OutputPump(rank, isError: true, error, screen, _errorTail, Closed));
        new Thread(() => report(new LaunchEvent.Exited(this, _process.Wait())), 256 * 1024) { IsBackground = true, Name = $"end of rank {rank}" }.Start();

        void Closed() => report(new LaunchEvent.OutputClosed());
    }

    public int Rank { get; }

    public int ProcessId => _process.Id;

    /// <summary>The last lines that it wrote to standard error.</summary>
    public IReadOnlyList<string> ErrorTail => _errorTail.Lines();

    public void Drain(TimeSpan timeout)
    {
        foreach (var pump in _pumps) pump.Drain(timeout);
    }
}

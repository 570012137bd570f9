namespace AccelerateSharp.Cli.Launch;

/// <summary>Carries what one worker prints to the screen, line by line.</summary>
internal sealed class OutputPump
{
    private const int MaxLine = 1 << 20;

    private readonly WorkerName _worker;
    private readonly bool _isError;
    private readonly Stream _source;
    private readonly Screen _screen;
    private readonly LineTail? _tail;
    private Stream? _file;
    private readonly Action _closed;
    private readonly Thread _thread;
    private readonly List<byte> _line = [];
    private bool _returned;

    /// <param name="worker">Whose output it is.</param>
    /// <param name="isError">Whether it is standard error.</param>
    /// <param name="source">The pipe.</param>
    /// <param name="screen">Where it goes.</param>
    /// <param name="tail">Keeps the last lines; null for none.</param>
    /// <param name="file">A file that gets every byte as it is; null for none. Closed at the end.</param>
    /// <param name="closed">Called when nobody reads our own output any more.</param>
    public OutputPump(WorkerName worker, bool isError, Stream source, Screen screen, LineTail? tail, Stream? file, Action closed)
    {
        _worker = worker;
        _isError = isError;
        _source = source;
        _screen = screen;
        _tail = tail;
        _file = file;
        _closed = closed;
        _thread = new Thread(Run, 256 * 1024) { IsBackground = true, Name = $"output of {worker}" };
        _thread.Start();
    }

    /// <summary>Waits until everything has been printed; a process that escaped and holds the pipe open is not waited for.</summary>
    public void Drain(TimeSpan timeout) => _thread.Join(timeout);

    private void Run()
    {
        var buffer = new byte[16 * 1024];
        var canPrint = true;
        while (_source.Read(buffer) is var count and > 0)
        {
            Keep(buffer.AsSpan(0, count));
            if (!canPrint) continue; // The worker must not block on a full pipe while it is being ended.
            try
            {
                Take(buffer.AsSpan(0, count));
            }
            catch (IOException)
            {
                canPrint = false;
                _closed();
            }
        }
        if (canPrint && _line.Count > 0) EndLine();
        _source.Dispose();
        _file?.Dispose();
    }

    /// <summary>A full disk is no reason to end the training: it is told once, and the screen still shows everything.</summary>
    private void Keep(ReadOnlySpan<byte> bytes)
    {
        try
        {
            _file?.Write(bytes);
        }
        catch (IOException e)
        {
            _screen.Say($"accelerate: nothing more is logged of {_worker}: {e.Message}");
            _file!.Dispose();
            _file = null;
        }
    }

    private void Take(ReadOnlySpan<byte> bytes)
    {
        foreach (var b in bytes)
        {
            if (b == '\n')
            {
                EndLine();
                continue;
            }
            // What follows a carriage return replaces the line; a carriage return before the line feed is just its end.
            if (_returned) _line.Clear();
            _returned = b == '\r';
            if (!_returned) _line.Add(b);
            else if (_line.Count > 0) _screen.Progress(_worker, Bytes());
            if (_line.Count >= MaxLine) EndLine();
        }
    }

    private void EndLine()
    {
        _returned = false;
        _tail?.Add(Bytes());
        _screen.Line(_worker, _isError, Bytes());
        _line.Clear();
    }

    private ReadOnlySpan<byte> Bytes() => System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_line);
}

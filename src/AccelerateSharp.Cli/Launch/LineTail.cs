using System.Text;

namespace AccelerateSharp.Cli.Launch;

/// <summary>The last lines of a stream.</summary>
internal sealed class LineTail(int capacity)
{
    private readonly Lock _gate = new();
    private readonly Queue<string> _lines = new();

    public void Add(ReadOnlySpan<byte> line)
    {
        var text = Encoding.UTF8.GetString(line);
        lock (_gate)
        {
            if (_lines.Count == capacity) _lines.Dequeue();
            _lines.Enqueue(text);
        }
    }

    public IReadOnlyList<string> Lines()
    {
        lock (_gate) return [.. _lines];
    }
}

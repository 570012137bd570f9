using System.Text.Json;
using static AccelerateSharp.Parallel.Sharding.Timeline.DeviceClock;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding.Timeline;

/// <summary>What units did when: gathers, computations, reductions. Written in the format of Chrome's trace viewer.</summary>
internal sealed class UnitTimeline(Device device) : IDisposable
{
    private readonly DeviceClock _clock = new(device);
    private readonly Lock _gate = new();
    private readonly List<Event> _events = [];

    public TimePoint Now() => _clock.Now();

    /// <summary>Notes what the calling thread queued since <paramref name="start"/>.</summary>
    public void Add(string kind, string unit, TimePoint start) => Add(new Event(kind, unit, start, _clock.Now(), null));

    /// <summary>Notes an operation that could start at <paramref name="ready"/> and runs on a stream of its own.</summary>
    public void Add(string kind, string unit, TimePoint ready, Work work) =>
        Add(_clock.IsHost ? new Event(kind, unit, ready, default, work) : new Event(kind, unit, ready, _clock.EndOf(work), null));

    /// <summary>On CPUs: an operation has been waited for.</summary>
    public void Ended(Work work)
    {
        if (!_clock.IsHost) return;
        lock (_gate)
        {
            var i = _events.FindIndex(item => ReferenceEquals(item.Pending, work));
            if (i >= 0) _events[i] = _events[i] with { End = _clock.Now(), Pending = null };
        }
    }

    /// <summary>Waits for the device and writes everything.</summary>
    /// <param name="path">The file.</param>
    /// <param name="rank">Becomes the process of the trace.</param>
    public void Write(string path, int rank)
    {
        List<Event> events;
        lock (_gate) events = [.. _events.Where(item => item.Pending is null)];
        var spans = events.ConvertAll(item => new Span(item.Kind, item.Unit, _clock.Microseconds(item.Start), _clock.Microseconds(item.End)));
        // Collectives of a group run one after the other, whenever they could have started.
        var free = double.NegativeInfinity;
        for (var i = 0; i < spans.Count; i++)
        {
            if (!spans[i].IsCollective) continue;
            spans[i] = spans[i] with { Start = Math.Min(Math.Max(spans[i].Start, free), spans[i].End) };
            free = spans[i].End;
        }

        var (total, overlapped) = Overlap(spans, "gather");
        using var stream = File.Create(path);
        using var json = new Utf8JsonWriter(stream);
        json.WriteStartObject();
        json.WriteStartArray("traceEvents");
        foreach (var span in spans)
        {
            json.WriteStartObject();
            json.WriteString("name", $"{span.Kind} {span.Unit}");
            json.WriteString("cat", span.Kind);
            json.WriteString("ph", "X");
            json.WriteNumber("ts", Math.Round(span.Start, 3));
            json.WriteNumber("dur", Math.Round(span.End - span.Start, 3));
            json.WriteNumber("pid", rank);
            json.WriteString("tid", span.IsCollective ? span.Kind : "compute");
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteStartObject("otherData");
        json.WriteNumber("gather_us", Math.Round(total));
        json.WriteNumber("gather_under_compute_us", Math.Round(overlapped));
        json.WriteEndObject();
        json.WriteEndObject();
    }

    public void Dispose() => _clock.Dispose();

    private void Add(Event item)
    {
        lock (_gate) _events.Add(item);
    }

    /// <summary>How long collectives of a kind ran, and for how much of it a unit computed.</summary>
    private static (double Total, double Overlapped) Overlap(List<Span> spans, string kind)
    {
        var computing = spans.Where(span => !span.IsCollective).OrderBy(span => span.Start).ToList();
        var (total, overlapped) = (0.0, 0.0);
        foreach (var span in spans.Where(span => span.Kind == kind))
        {
            total += span.End - span.Start;
            var reached = span.Start;
            foreach (var compute in computing)
            {
                var (start, end) = (Math.Max(reached, compute.Start), Math.Min(span.End, compute.End));
                if (end <= start) continue;
                overlapped += end - start;
                reached = end;
            }
        }

        return (total, overlapped);
    }

    private sealed record Event(string Kind, string Unit, TimePoint Start, TimePoint End, Work? Pending);

    private readonly record struct Span(string Kind, string Unit, double Start, double End)
    {
        public bool IsCollective => Kind is "gather" or "reduce";
    }
}

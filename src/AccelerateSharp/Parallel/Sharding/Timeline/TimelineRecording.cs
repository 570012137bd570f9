namespace AccelerateSharp.Parallel.Sharding.Timeline;

/// <summary>Records the timelines of some engines until it is disposed, and writes them then.</summary>
internal sealed class TimelineRecording : IDisposable
{
    private readonly IReadOnlyList<ShardingEngine> _engines;
    private readonly string _path;

    public TimelineRecording(IReadOnlyList<ShardingEngine> engines, string path)
    {
        (_engines, _path) = (engines, path);
        foreach (var engine in engines) engine.Timeline = new UnitTimeline(engine.Device);
    }

    public void Dispose()
    {
        for (var i = 0; i < _engines.Count; i++)
        {
            if (_engines[i].Timeline is not { } timeline) continue;
            _engines[i].Timeline = null;
            using (timeline) timeline.Write(PathOf(_engines[i].Mesh.Rank, i), _engines[i].Mesh.Rank);
        }
    }

    /// <summary>One file for each rank, and for each model where there are several.</summary>
    private string PathOf(int rank, int model) =>
        Path.ChangeExtension(_path, $"{(_engines.Count > 1 ? $"model{model}." : "")}rank{rank}{Path.GetExtension(_path)}");
}

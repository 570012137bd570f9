namespace AccelerateSharp.Rendezvous;

/// <summary>A store in this process: that of a job with one worker, or a server's own view of what it serves. Nobody to lose.</summary>
/// <param name="values">What it holds; null for a store of its own.</param>
/// <param name="prefix">What the server puts in front of its clients' keys.</param>
internal sealed class LocalStore(MemoryStore? values = null, string prefix = "") : IRendezvousStore
{
    private readonly MemoryStore _store = values ?? new();

    public IReadOnlyList<int> LostRanks => [];

    public CancellationToken PeerLost => CancellationToken.None;

    public string? PeerLostReason => null;

    public void Set(string key, byte[] value) => _store.Set(Checked(key), value);

    public byte[]? TryGet(string key) => _store.TryGet(Checked(key));

    public byte[] Wait(string key, TimeSpan timeout, CancellationToken cancellationToken = default) =>
        _store.WaitAsync(Checked(key), timeout, cancellationToken).GetAwaiter().GetResult()
        ?? throw new TimeoutException($"Nobody wrote the key '{key}' within {timeout.TotalSeconds:0.###} s.");

    public long Add(string key, long amount) => _store.Add(Checked(key), amount);

    public bool CompareAndSet(string key, byte[]? expected, byte[] value) => _store.CompareAndSet(Checked(key), expected, value);

    public bool Delete(string key) => _store.Delete(Checked(key));

    public void Join(int rank)
    {
    }

    public void Dispose()
    {
    }

    private string Checked(string key)
    {
        StoreLimits.CheckKey(key);
        return prefix + key;
    }
}

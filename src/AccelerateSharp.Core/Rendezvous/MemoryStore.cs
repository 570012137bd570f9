using System.Globalization;
using System.Text;

namespace AccelerateSharp.Rendezvous;

/// <summary>The keys and values themselves: atomic operations, and waiters that are woken by the write they wait for.</summary>
internal sealed class MemoryStore
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, byte[]> _values = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Waiters> _waiters = new(StringComparer.Ordinal);

    public void Set(string key, byte[] value)
    {
        StoreLimits.CheckValue(value);
        lock (_gate) Write(key, (byte[])value.Clone());
    }

    public byte[]? TryGet(string key)
    {
        lock (_gate) return (byte[]?)_values.GetValueOrDefault(key)?.Clone();
    }

    /// <summary>The value, as soon as there is one; null after the timeout.</summary>
    public async Task<byte[]?> WaitAsync(string key, TimeSpan timeout, CancellationToken cancellationToken)
    {
        Waiters waiters;
        lock (_gate)
        {
            if (_values.TryGetValue(key, out var present)) return (byte[])present.Clone();
            if (!_waiters.TryGetValue(key, out waiters!)) _waiters[key] = waiters = new Waiters();
            waiters.Count++;
        }
        try
        {
            return (byte[])(await waiters.Written.Task.WaitAsync(timeout, cancellationToken).ConfigureAwait(false)).Clone();
        }
        catch (TimeoutException)
        {
            return null;
        }
        finally
        {
            lock (_gate)
            {
                if (--waiters.Count == 0 && _waiters.GetValueOrDefault(key) == waiters) _waiters.Remove(key);
            }
        }
    }

    public long Add(string key, long amount)
    {
        lock (_gate)
        {
            var present = 0L;
            if (_values.TryGetValue(key, out var bytes)
                && !long.TryParse(bytes, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out present))
                throw new InvalidOperationException($"The key '{key}' holds {bytes.Length} bytes that are no counter, so nothing can be added to it.");
            var sum = checked(present + amount);
            Write(key, Encoding.ASCII.GetBytes(sum.ToString(CultureInfo.InvariantCulture)));
            return sum;
        }
    }

    public bool CompareAndSet(string key, byte[]? expected, byte[] value)
    {
        StoreLimits.CheckValue(value);
        lock (_gate)
        {
            var present = _values.GetValueOrDefault(key);
            if (present is null != expected is null || (present is not null && !present.AsSpan().SequenceEqual(expected))) return false;
            Write(key, (byte[])value.Clone());
            return true;
        }
    }

    public bool Delete(string key)
    {
        lock (_gate) return _values.Remove(key);
    }

    /// <summary>Removes all values whose keys begin so.</summary>
    public void DeleteAll(string prefix)
    {
        lock (_gate)
        {
            foreach (var key in _values.Keys.Where(key => key.StartsWith(prefix, StringComparison.Ordinal)).ToList()) _values.Remove(key);
        }
    }

    private void Write(string key, byte[] value)
    {
        _values[key] = value;
        if (_waiters.Remove(key, out var waiters)) waiters.Written.SetResult(value);
    }

    private sealed class Waiters
    {
        public TaskCompletionSource<byte[]> Written { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Count { get; set; }
    }
}

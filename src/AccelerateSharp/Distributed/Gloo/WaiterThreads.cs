namespace AccelerateSharp.Distributed.Gloo;

/// <summary>Threads that wait for transfers. They may block for as long as a peer does, which would starve the thread pool.</summary>
internal static class WaiterThreads
{
    private static readonly TimeSpan _idleLife = TimeSpan.FromSeconds(10);
    private static readonly object _gate = new();
    private static readonly Queue<Action> _queue = new();
    private static int _idle;

    /// <summary>Runs an action at once: on an idle thread, or on a new one.</summary>
    public static void Start(Action action)
    {
        lock (_gate)
        {
            _queue.Enqueue(action);
            if (_idle >= _queue.Count)
            {
                Monitor.Pulse(_gate);
                return;
            }
        }
        new Thread(Serve) { IsBackground = true, Name = "gloo transfer" }.Start();
    }

    private static void Serve()
    {
        while (true)
        {
            Action? action;
            lock (_gate)
            {
                if (!_queue.TryDequeue(out action))
                {
                    _idle++;
                    Monitor.Wait(_gate, _idleLife);
                    _idle--;
                    if (!_queue.TryDequeue(out action)) return;
                }
            }
            action();
        }
    }
}

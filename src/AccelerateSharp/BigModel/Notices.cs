using AccelerateSharp.Internal;

namespace AccelerateSharp.BigModel;

/// <summary>What a user should know and need not act on; said on the standard error stream by the main process of each machine.</summary>
internal static class Notices
{
    private static readonly AsyncLocal<Action<string>?> _listener = new();

    public static void Say(string message)
    {
        if (_listener.Value is { } listener) listener(message);
        else if (!ProcessTopology.IsInitialized || new PartialState().IsLocalMainProcess) Console.Error.WriteLine(message);
    }

    /// <summary>Sends what this flow of control says to <paramref name="listener"/> until the result is disposed.</summary>
    public static IDisposable Listen(Action<string> listener)
    {
        var former = _listener.Value;
        _listener.Value = listener;
        return new Listening(former);
    }

    private sealed class Listening(Action<string>? former) : IDisposable
    {
        public void Dispose() => _listener.Value = former;
    }
}

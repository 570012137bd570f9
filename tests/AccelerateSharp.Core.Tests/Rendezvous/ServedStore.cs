using System.Collections.Concurrent;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Core.Tests.Rendezvous;

/// <summary>A real server on a free port and clients to it.</summary>
internal sealed class ServedStore : IDisposable
{
    private readonly ConcurrentBag<IDisposable> _clients = [];

    public ServedStore()
    {
        Server = RendezvousServer.Start(new RendezvousServerOptions { Token = Token, WorldSize = 4, Log = Log.Enqueue });
    }

    public static TimeSpan Patience { get; } = TimeSpan.FromSeconds(30);

    public string Token { get; } = RendezvousStore.NewToken();

    public RendezvousServer Server { get; }

    public string Endpoint => $"127.0.0.1:{Server.Port}";

    public ConcurrentQueue<string> Log { get; } = [];

    public RendezvousClient NewClient(int generation = 0)
    {
        var client = RendezvousClient.Connect(Endpoint, () => Token, generation, Patience, cancellationToken: TestContext.Current.CancellationToken);
        _clients.Add(client);
        return client;
    }

    public void Dispose()
    {
        foreach (var client in _clients) client.Dispose();
        Server.Dispose();
    }
}

using System.Net;

namespace AccelerateSharp.Rendezvous;

/// <summary>Where and for whom a store is served.</summary>
internal sealed record RendezvousServerOptions
{
    /// <summary>The secret that a client has to show.</summary>
    public required string Token { get; init; }

    /// <summary>The number of workers in the job; bounds the number of connections.</summary>
    public required int WorldSize { get; init; }

    /// <summary>The address to listen at: loopback unless the job spans machines.</summary>
    public IPAddress Address { get; init; } = IPAddress.Loopback;

    /// <summary>The port to listen at; 0 for any that is free.</summary>
    public int Port { get; init; }

    /// <summary>Told of each rank that is lost, with its attempt of the job; must not block.</summary>
    public Action<int, int> RankLost { get; init; } = static (_, _) => { };

    /// <summary>Receives one line about each refused stranger, at most one a second; standard error by default.</summary>
    public Action<string> Log { get; init; } = Console.Error.WriteLine;
}

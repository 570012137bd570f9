using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using AccelerateSharp.Launch;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace AccelerateSharp.Rendezvous;

/// <summary>Serves a store to the workers of one job, over HTTP/1.1 on Kestrel.</summary>
/// <remarks>
/// Kestrel alone, without ASP.NET's host: a guest in somebody else's program installs no signal handlers, reads no
/// <c>ASPNETCORE_</c> variables, and writes no log of its own.
/// </remarks>
internal sealed class RendezvousServer : IDisposable
{
    private static readonly TimeSpan _keepAliveProbe = TimeSpan.FromSeconds(5);

    private readonly KestrelServer _kestrel;
    private readonly RequestHandler _handler;
    private readonly MemoryStore _store = new();
    private readonly Membership _members;
    private int _disposed;

    private RendezvousServer(RendezvousServerOptions options)
    {
        _members = new Membership(options.RankLost);
        _handler = new RequestHandler(_store, _members, options);
        var kestrel = new KestrelServerOptions { AddServerHeader = false };
        kestrel.Limits.MaxRequestBodySize = 2L * StoreLimits.MaxValueBytes; // compare-and-set carries two values
        kestrel.Limits.MaxConcurrentConnections = 256 + (16L * options.WorldSize);
        kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
        // Longer than clients keep an idle connection, so that no request ever meets a connection that is just being closed.
        kestrel.Limits.KeepAliveTimeout = 10 * RendezvousClient.IdleConnectionLifetime;
        // A worker on a busy machine may be slow; what is too slow ends by the time-out of the caller.
        kestrel.Limits.MinRequestBodyDataRate = null;
        kestrel.Limits.MinResponseDataRate = null;
        kestrel.Listen(new IPEndPoint(options.Address, options.Port), listen => listen.Protocols = HttpProtocols.Http1);
        var sockets = new SocketTransportOptions { CreateBoundListenSocket = Listen };
        _kestrel = new KestrelServer(
            Options.Create(kestrel), new SocketTransportFactory(Options.Create(sockets), NullLoggerFactory.Instance), NullLoggerFactory.Instance);
    }

    /// <summary>The port that the server listens at.</summary>
    public int Port { get; private set; }

    /// <summary>Starts serving; the port is open when this returns.</summary>
    /// <exception cref="RendezvousException">The port cannot be opened.</exception>
    public static RendezvousServer Start(RendezvousServerOptions options)
    {
        var server = new RendezvousServer(options);
        try
        {
            server._kestrel.StartAsync(server._handler, CancellationToken.None).GetAwaiter().GetResult();
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            server._kestrel.Dispose();
            throw new RendezvousException(
                $"The rendezvous cannot listen at {options.Address}:{options.Port}: {e.GetBaseException().Message}. "
                + "End the program that holds the port, or choose another one (--main_process_port, MASTER_PORT).", e);
        }
        var address = server._kestrel.Features.Get<IServerAddressesFeature>()!.Addresses.First();
        server.Port = new Uri(address.Replace("[::]", "127.0.0.1", StringComparison.Ordinal)).Port;
        return server;
    }

    /// <summary>What a rank of one attempt of the job said when it failed; null where it said nothing.</summary>
    public FailureReport? FailureOf(int generation, int rank) => _members.FailureOf(generation, rank);

    /// <summary>The first rank of an attempt that was lost by itself, and what it said; null where none was.</summary>
    public (int Rank, FailureReport? Report)? CauseOf(int generation) => _members.CauseOf(generation);

    /// <summary>What the clients of one attempt see, without a connection.</summary>
    public IRendezvousStore View(int generation) => new LocalStore(_store, RequestHandler.Prefix(generation));

    /// <summary>Removes what an attempt that is over has left.</summary>
    public void Forget(int generation) => _store.DeleteAll(RequestHandler.Prefix(generation));

    /// <summary>Waits until every client has gone, at most for the time given.</summary>
    public void WaitForClients(TimeSpan timeout)
    {
        try
        {
            _members.WaitUntilEmptyAsync(timeout, CancellationToken.None).GetAwaiter().GetResult();
        }
        catch (TimeoutException)
        {
            // They are told goodbye when the server is disposed.
        }
    }

    /// <summary>Ends in good order: clients that are still there are told so, and do not take it for a failure.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        _members.Close();
        _handler.Close();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        _kestrel.StopAsync(patience.Token).GetAwaiter().GetResult();
        _kestrel.Dispose();
    }

    private static Socket Listen(EndPoint endpoint)
    {
        var socket = SocketTransportOptions.CreateDefaultBoundListenSocket(endpoint);
        // Accepted sockets inherit these: a machine that loses power sends no farewell, the kernel's probes notice within 20 s.
        KeepAlive(socket);
        return socket;
    }

    internal static void KeepAlive(Socket socket)
    {
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, (int)_keepAliveProbe.TotalSeconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, (int)_keepAliveProbe.TotalSeconds);
        if (!RuntimeInformation.IsOSPlatform(OSPlatform.Windows))
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 3);
    }
}

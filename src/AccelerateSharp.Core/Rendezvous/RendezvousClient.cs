using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Rendezvous;

/// <summary>A store that a <see cref="RendezvousServer"/> serves, in this process or in another.</summary>
internal sealed class RendezvousClient : IRendezvousStore
{
    /// <summary>How long an unused connection is kept.</summary>
    public static readonly TimeSpan IdleConnectionLifetime = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan _longPoll = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);

    /// <summary>On a machine that is too busy to take them at once, last words are worth some waiting.</summary>
    private static readonly TimeSpan _lastWords = TimeSpan.FromSeconds(10);

    private readonly HttpClient _http;
    private readonly RendezvousSession _session;
    private readonly int _generation;
    private readonly string _endpoint;
    private readonly Action? _ended;
    private int _rank = -1;
    private int _disposed;

    private RendezvousClient(HttpClient http, RendezvousSession session, int generation, Action? ended)
    {
        _http = http;
        _session = session;
        _generation = generation;
        _endpoint = http.BaseAddress!.Authority;
        _ended = ended;
        AppDomain.CurrentDomain.ProcessExit += OnProcessExit;
    }

    public IReadOnlyList<int> LostRanks => _session.LostRanks;

    public CancellationToken PeerLost => _session.PeerLost;

    public string? PeerLostReason => _session.PeerLostReason;

    /// <summary>Connects, trying again until the server is there.</summary>
    /// <param name="endpoint">The server, as <c>host:port</c>.</param>
    /// <param name="token">The token of the job; null while it is not known yet.</param>
    /// <param name="generation">The attempt of the job.</param>
    /// <param name="timeout">How long to try.</param>
    /// <param name="refusalIsFinal">Whether a refused token ends the attempt (false: it may be replaced by a fresh one).</param>
    /// <param name="ended">Called after the client has been disposed.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="TimeoutException">There is no server, or no token, in time.</exception>
    /// <exception cref="RendezvousException">The server refused the token.</exception>
    public static RendezvousClient Connect(
        string endpoint, Func<string?> token, int generation, TimeSpan timeout, bool refusalIsFinal = true, Action? ended = null,
        CancellationToken cancellationToken = default)
    {
        var http = new HttpClient(NewHandler()) { BaseAddress = BaseAddress(endpoint), Timeout = Timeout.InfiniteTimeSpan };
        var clock = Stopwatch.StartNew();
        var obstacle = "no token was found";
        try
        {
            for (var pause = 2.0; ; pause = Math.Min(pause * 1.5, 200))
            {
                var left = timeout - clock.Elapsed;
                if (token() is { } secret && left > TimeSpan.Zero)
                {
                    http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", secret);
                    try
                    {
                        if (RendezvousSession.TryOpen(http, generation, left, cancellationToken) is { } session)
                            return new RendezvousClient(http, session, generation, ended);
                        obstacle = "it refused the token of this worker";
                        if (refusalIsFinal)
                            throw new RendezvousException(
                                $"The rendezvous at {endpoint} refused the token of this worker. "
                                + $"Give every worker of the job the same {EnvironmentVariables.RendezvousToken}.");
                    }
                    catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or SocketException)
                    {
                        obstacle = e.GetBaseException().Message;
                    }
                }
                cancellationToken.ThrowIfCancellationRequested();
                left = timeout - clock.Elapsed;
                if (left <= TimeSpan.Zero)
                    throw new TimeoutException(
                        $"No rendezvous at {endpoint} within {timeout.TotalSeconds:0.###} s ({obstacle}). "
                        + "Check that rank 0 (or the launcher) runs and that its address and port can be reached from here.");
                cancellationToken.WaitHandle.WaitOne(TimeSpan.FromMilliseconds(Math.Min(pause, left.TotalMilliseconds)));
            }
        }
        catch
        {
            http.Dispose();
            throw;
        }
    }

    public void Set(string key, byte[] value)
    {
        StoreLimits.CheckValue(value);
        Call(HttpMethod.Put, ValuePath(key), value);
    }

    public byte[]? TryGet(string key)
    {
        var (status, value) = Call(HttpMethod.Get, ValuePath(key));
        return status == HttpStatusCode.OK ? value : null;
    }

    public byte[] Wait(string key, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        var path = ValuePath(key);
        var clock = Stopwatch.StartNew();
        while (true)
        {
            var left = timeout - clock.Elapsed;
            var poll = left < _longPoll ? left : _longPoll;
            var (status, value) = Call(HttpMethod.Get, poll > TimeSpan.Zero ? path + Query("wait", (long)Math.Ceiling(poll.TotalMilliseconds)) : path, cancellationToken: cancellationToken);
            if (status == HttpStatusCode.OK) return value;
            if (clock.Elapsed >= timeout) throw new TimeoutException($"Nobody wrote the key '{key}' within {timeout.TotalSeconds:0.###} s.");
        }
    }

    public long Add(string key, long amount)
    {
        var (_, sum) = Call(HttpMethod.Post, Path("counter", key) + Query("amount", amount));
        return long.Parse(sum, CultureInfo.InvariantCulture);
    }

    public bool CompareAndSet(string key, byte[]? expected, byte[] value)
    {
        StoreLimits.CheckValue(value);
        StoreLimits.CheckValue(expected ?? []);
        var (status, _) = Call(HttpMethod.Put, ValuePath(key) + Query("expected", expected?.Length ?? -1), [.. expected ?? [], .. value]);
        return status == HttpStatusCode.OK;
    }

    public bool Delete(string key) => Call(HttpMethod.Delete, ValuePath(key)).Status == HttpStatusCode.OK;

    /// <summary>What a rank of an attempt said when it failed; null where it said nothing.</summary>
    public FailureReport? FailureOf(int generation, int rank)
    {
        var (status, words) = Call(HttpMethod.Get, $"failure?g={Text(generation)}" + Query("rank", rank));
        return status == HttpStatusCode.OK ? FailureReport.Parse(words) : null;
    }

    public void Join(int rank)
    {
        try
        {
            Call(HttpMethod.Post, $"session?id={Text(_session.Id)}" + Query("rank", rank));
            if (_rank < 0) AppDomain.CurrentDomain.UnhandledException += OnUnhandledException;
            _rank = rank;
        }
        catch (InvalidOperationException e)
        {
            throw new RendezvousException($"Rank {rank} cannot join the job: {e.Message}. Check RANK in the environment of each worker.", e);
        }
    }

    /// <summary>Says goodbye, so that the ranks of this client do not count as lost.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0) return;
        AppDomain.CurrentDomain.ProcessExit -= OnProcessExit;
        _session.Leave();
        _http.Dispose();
        _ended?.Invoke();
    }

    /// <summary>A program that ends well has left in good order, also when it did not say so.</summary>
    private void OnProcessExit(object? sender, EventArgs e)
    {
        if (Environment.ExitCode == 0) Dispose();
    }

    /// <summary>
    /// A worker that dies tells why: the launcher knows the cause, and the others need not wait for it any longer. It may have said
    /// goodbye by then, for an exception that leaves an asynchronous Main disposes of everything on its way.
    /// </summary>
    private void OnUnhandledException(object sender, UnhandledExceptionEventArgs e)
    {
        if (_rank < 0 || e.ExceptionObject is not Exception exception) return;
        var report = FailureReport.Of(exception, peerIsLost: PeerLost.IsCancellationRequested);
        try
        {
            using var http = new HttpClient(NewHandler()) { BaseAddress = _http.BaseAddress, Timeout = _lastWords };
            http.DefaultRequestHeaders.Authorization = _http.DefaultRequestHeaders.Authorization;
            using var request = new HttpRequestMessage(HttpMethod.Post, $"failure?g={Text(_generation)}" + Query("rank", _rank))
            {
                Content = new ByteArrayContent(report.ToBytes()),
            };
            http.Send(request).Dispose();
        }
        catch (Exception failure) when (failure is HttpRequestException or IOException or OperationCanceledException)
        {
            // The server is gone. The error is on standard error all the same.
        }
    }

    private (HttpStatusCode Status, byte[] Body) Call(HttpMethod method, string path, byte[]? body = null, CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(_longPoll + _patience);
        using var request = new HttpRequestMessage(method, path);
        if (body is not null) request.Content = new ByteArrayContent(body);
        try
        {
            using var response = _http.Send(request, patience.Token);
            var answer = response.Content.ReadAsByteArrayAsync(CancellationToken.None).GetAwaiter().GetResult();
            return response.StatusCode switch
            {
                HttpStatusCode.OK or HttpStatusCode.NoContent or HttpStatusCode.PreconditionFailed => (response.StatusCode, answer),
                HttpStatusCode.Conflict => throw new InvalidOperationException(Encoding.UTF8.GetString(answer)),
                HttpStatusCode.ServiceUnavailable => throw new RendezvousException($"The rendezvous at {_endpoint} has ended."),
                var status => throw new RendezvousException(
                    $"The rendezvous at {_endpoint} answered {(int)status} to {method} {path}: {Encoding.UTF8.GetString(answer)}"),
            };
        }
        catch (OperationCanceledException e)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new RendezvousException($"The rendezvous at {_endpoint} did not answer within {(_longPoll + _patience).TotalSeconds:0} s.", e);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw new RendezvousException(
                $"The rendezvous at {_endpoint} cannot be reached any more ({e.GetBaseException().Message}): the launcher, or rank 0 where there is none, has ended.", e);
        }
    }

    private string ValuePath(string key) => Path("value", key);

    private string Path(string kind, string key)
    {
        StoreLimits.CheckKey(key);
        return $"{kind}?g={Text(_generation)}&k={Uri.EscapeDataString(key)}";
    }

    private static string Query(string name, long number) => $"&{name}={Text(number)}";

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static Uri BaseAddress(string endpoint) =>
        Uri.TryCreate($"http://{endpoint}/", UriKind.Absolute, out var address)
            ? address
            : throw new InvalidOperationException(
                $"{EnvironmentVariables.RendezvousEndpoint}={endpoint} is not of the form host:port.");

    private static SocketsHttpHandler NewHandler() => new()
    {
        UseProxy = false,
        UseCookies = false,
        AllowAutoRedirect = false,
        ActivityHeadersPropagator = null,
        PooledConnectionIdleTimeout = IdleConnectionLifetime,
        ConnectCallback = async (context, cancellationToken) =>
        {
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                RendezvousServer.KeepAlive(socket);
                await socket.ConnectAsync(context.DnsEndPoint, cancellationToken).ConfigureAwait(false);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        },
    };
}

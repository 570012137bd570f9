using System.Net;
using System.Net.Http.Headers;

namespace AccelerateSharp.Hub;

/// <summary>Sends requests to the Hub: redirects, repetitions and time-outs. What is not an answer to work with becomes a <see cref="HubException"/>.</summary>
internal sealed class HubTransport : IDisposable
{
    private const int MaxRedirects = 8;
    private static readonly TimeSpan _longestDelay = TimeSpan.FromSeconds(60);

    private readonly HubOptions _options;
    private readonly HttpClient _http;

    public HubTransport(HubOptions options)
    {
        _options = options;
        // Redirects are followed here: the token must not go along to another host, and has to on this one.
        _http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false, ConnectTimeout = TimeSpan.FromSeconds(10) })
        {
            Timeout = Timeout.InfiniteTimeSpan,
        };
        _http.DefaultRequestHeaders.UserAgent.ParseAdd("accelerate-sharp/0.1");
    }

    public void Dispose() => _http.Dispose();

    /// <summary>Sends a request, again and again where that may help, and returns when the answer's headers are there.</summary>
    /// <param name="method">The method.</param>
    /// <param name="address">The address, relative to the endpoint.</param>
    /// <param name="range">The bytes that are wanted, or null for all.</param>
    /// <param name="followsElsewhere">Whether a redirect to another host is followed; where not, it is the answer.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public async Task<HttpResponseMessage> SendAsync(
        HttpMethod method, string address, RangeHeaderValue? range, bool followsElsewhere, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            TimeSpan? serversDelay = null;
            try
            {
                var response = await SendOnceAsync(method, address, range, followsElsewhere, cancellationToken).ConfigureAwait(false);
                if (!IsTransient(response.StatusCode)) return response;
                using (response)
                {
                    if (attempt >= _options.MaxAttempts) throw KeepsFailing(address, response.StatusCode);
                    serversDelay = response.Headers.RetryAfter?.Delta;
                }
            }
            catch (Exception e) when (IsConnectionTrouble(e, cancellationToken))
            {
                if (attempt >= _options.MaxAttempts) throw Unreachable(e);
            }
            await DelayAsync(attempt, serversDelay, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Waits before the next attempt: doubling, with some chance in it so that many clients do not come back together.</summary>
    public Task DelayAsync(int attempt, TimeSpan? serversDelay, CancellationToken cancellationToken)
    {
        var delay = _options.FirstDelay * Math.Pow(2, attempt - 1) * (0.75 + 0.5 * Random.Shared.NextDouble());
        if (serversDelay > delay) delay = serversDelay.Value;
        return Task.Delay(delay < _longestDelay ? delay : _longestDelay, cancellationToken);
    }

    /// <summary>Reads from a body; a server that says nothing for too long counts as gone.</summary>
    public async ValueTask<int> ReadAsync(Stream body, Memory<byte> buffer, CancellationToken cancellationToken)
    {
        using var stall = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        stall.CancelAfter(_options.StallTimeout);
        return await body.ReadAsync(buffer, stall.Token).ConfigureAwait(false);
    }

    /// <summary>Reads a short body whole.</summary>
    public async Task<byte[]> ReadAllAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        using var stall = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        stall.CancelAfter(_options.StallTimeout);
        return await response.Content.ReadAsByteArrayAsync(stall.Token).ConfigureAwait(false);
    }

    /// <summary>Whether an exception tells of a connection that did not work, so that another attempt may help.</summary>
    public static bool IsConnectionTrouble(Exception exception, CancellationToken cancellationToken) =>
        exception is not HubException && (exception is HttpRequestException or IOException
            || (exception is OperationCanceledException && !cancellationToken.IsCancellationRequested));

    public HubException Unreachable(Exception cause)
    {
        var reason = cause is OperationCanceledException ? $"it said nothing for {_options.StallTimeout.TotalSeconds:0.#} s" : cause.Message;
        return new HubException(HubFailure.Unreachable,
            $"{_options.Endpoint} cannot be reached ({reason}). Check the network, HTTPS_PROXY and HF_ENDPOINT; HF_HUB_OFFLINE=1 uses what is in the cache.", cause);
    }

    private async Task<HttpResponseMessage> SendOnceAsync(
        HttpMethod method, string address, RangeHeaderValue? range, bool followsElsewhere, CancellationToken cancellationToken)
    {
        var target = new Uri(_options.Endpoint, address);
        for (var redirect = 0; ; redirect++)
        {
            using var request = new HttpRequestMessage(method, target);
            request.Headers.Range = range;
            // The length of what is sent must be the length of the file.
            request.Headers.AcceptEncoding.ParseAdd("identity");
            if (_options.Token is { } token && IsEndpoint(target)) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
            using var stall = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            stall.CancelAfter(_options.StallTimeout);
            var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stall.Token).ConfigureAwait(false);
            if ((int)response.StatusCode is not (301 or 302 or 303 or 307 or 308) || response.Headers.Location is not { } location) return response;
            var next = new Uri(target, location);
            if (!followsElsewhere && !IsEndpoint(next)) return response;
            response.Dispose();
            if (redirect == MaxRedirects) throw new HubException(HubFailure.Unreachable, $"{target} is redirected more than {MaxRedirects} times.");
            if (next.Scheme != "https" && next.Scheme != _options.Endpoint.Scheme)
                throw new HubException(HubFailure.Unreachable, $"{target} is redirected to {next.Scheme}://{next.Host}, which is not safe.");
            target = next;
        }
    }

    private bool IsEndpoint(Uri address) =>
        Uri.Compare(address, _options.Endpoint, UriComponents.SchemeAndServer, UriFormat.SafeUnescaped, StringComparison.OrdinalIgnoreCase) == 0;

    private static bool IsTransient(HttpStatusCode status) => (int)status is 408 or 429 or 500 or 502 or 503 or 504;

    private HubException KeepsFailing(string address, HttpStatusCode status) => new(HubFailure.Unreachable,
        status == HttpStatusCode.TooManyRequests
            ? $"{_options.Endpoint} allows no more requests at the moment (429). Wait some minutes; with HF_TOKEN set, more are allowed."
            : $"{_options.Endpoint}{address} failed {_options.MaxAttempts} times, the last time with status {(int)status}. Try again later.");
}

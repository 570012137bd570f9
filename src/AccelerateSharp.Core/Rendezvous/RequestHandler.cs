using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using AccelerateSharp.Launch;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace AccelerateSharp.Rendezvous;

/// <summary>Answers the requests of the store's clients; each body is the raw bytes of a value.</summary>
/// <remarks>
/// <code>
/// GET    /value?g=GENERATION&amp;k=KEY[&amp;wait=MS]   200 value, or 204: none (yet)
/// PUT    /value?g&amp;k                              200
/// PUT    /value?g&amp;k&amp;expected=N                   200, or 412; the body is N expected bytes and the value, N = -1: no value
/// DELETE /value?g&amp;k                              200, or 204: there was none
/// POST   /counter?g&amp;k&amp;amount=N                   200 sum as text, or 409
/// GET    /session?g                              200 and lines for as long as both live (see SessionEvents)
/// POST   /session?id&amp;rank                       200, or 409 with the reason: this rank is alive as long as the session
/// DELETE /session?id                            200: goodbye
/// POST   /failure?g&amp;rank                        200: the last words of a rank, which is lost with them
/// GET    /failure?g&amp;rank                        200 those words, or 204: none
/// </code>
/// </remarks>
internal sealed class RequestHandler(MemoryStore store, Membership members, RendezvousServerOptions options) : IHttpApplication<HttpContext>
{
    private const string Scheme = "Bearer ";

    private readonly byte[] _token = Encoding.UTF8.GetBytes(options.Token);
    private readonly RefusalLog _refusals = new(options.Log);
    private readonly CancellationTokenSource _closing = new();

    public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

    public void DisposeContext(HttpContext context, Exception? exception)
    {
    }

    /// <summary>Ends the requests that wait.</summary>
    public void Close() => _closing.Cancel();

    public async Task ProcessRequestAsync(HttpContext context)
    {
        if (!IsOurs(context.Request))
        {
            _refusals.Add(context.Connection.RemoteIpAddress, context.Connection.RemotePort);
            context.Response.StatusCode = StatusCodes.Status401Unauthorized;
            context.Response.Headers.Connection = "close";
            return;
        }
        try
        {
            await AnswerAsync(context).ConfigureAwait(false);
        }
        catch (Exception e) when (e is FormatException or OverflowException or ArgumentException)
        {
            await RefuseAsync(context, StatusCodes.Status400BadRequest, e.Message).ConfigureAwait(false);
        }
        catch (InvalidOperationException e)
        {
            await RefuseAsync(context, StatusCodes.Status409Conflict, e.Message).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // The client has gone, or the server ends.
            if (!context.Response.HasStarted) context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        }
    }

    private Task AnswerAsync(HttpContext context) => (context.Request.Method, context.Request.Path.Value) switch
    {
        ("GET", "/value") => GetAsync(context),
        ("PUT", "/value") => PutAsync(context),
        ("DELETE", "/value") => DoneAsync(context, store.Delete(Key(context)) ? StatusCodes.Status200OK : StatusCodes.Status204NoContent),
        ("POST", "/counter") => AddAsync(context),
        ("GET", "/session") => SessionAsync(context),
        ("POST", "/session") => JoinAsync(context),
        ("DELETE", "/session") => LeaveAsync(context),
        ("POST", "/failure") => FailAsync(context),
        ("GET", "/failure") => members.FailureOf((int)Number(context, "g"), (int)Number(context, "rank")) is { } report
            ? BytesAsync(context, report.ToBytes())
            : DoneAsync(context, StatusCodes.Status204NoContent),
        _ => DoneAsync(context, StatusCodes.Status404NotFound),
    };

    private async Task GetAsync(HttpContext context)
    {
        var key = Key(context);
        var wait = context.Request.Query.TryGetValue("wait", out var text) ? long.Parse(text.ToString(), CultureInfo.InvariantCulture) : 0;
        byte[]? value;
        if (wait == 0)
        {
            value = store.TryGet(key);
        }
        else
        {
            using var ends = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, _closing.Token);
            value = await store.WaitAsync(key, TimeSpan.FromMilliseconds(wait), ends.Token).ConfigureAwait(false);
        }
        if (value is null) await DoneAsync(context, StatusCodes.Status204NoContent).ConfigureAwait(false);
        else await BytesAsync(context, value).ConfigureAwait(false);
    }

    private async Task PutAsync(HttpContext context)
    {
        var key = Key(context);
        var compares = context.Request.Query.ContainsKey("expected");
        if (await BodyAsync(context, compares ? 2 * StoreLimits.MaxValueBytes : StoreLimits.MaxValueBytes).ConfigureAwait(false) is not { } body)
        {
            await RefuseAsync(context, StatusCodes.Status413PayloadTooLarge, $"a value has at most {StoreLimits.MaxValueBytes} bytes").ConfigureAwait(false);
            return;
        }
        if (!compares)
        {
            store.Set(key, body);
            return;
        }
        var expected = (int)Number(context, "expected");
        var written = expected < 0
            ? store.CompareAndSet(key, null, body)
            : store.CompareAndSet(key, body[..expected], body[expected..]);
        await DoneAsync(context, written ? StatusCodes.Status200OK : StatusCodes.Status412PreconditionFailed).ConfigureAwait(false);
    }

    private Task AddAsync(HttpContext context)
    {
        var sum = store.Add(Key(context), Number(context, "amount"));
        return BytesAsync(context, Encoding.ASCII.GetBytes(sum.ToString(CultureInfo.InvariantCulture)));
    }

    private async Task SessionAsync(HttpContext context)
    {
        var session = members.Open((int)Number(context, "g"));
        try
        {
            await foreach (var line in session.Events.ReadAllAsync(context.RequestAborted).ConfigureAwait(false))
            {
                await context.Response.WriteAsync(line, context.RequestAborted).ConfigureAwait(false);
                await context.Response.Body.FlushAsync(context.RequestAborted).ConfigureAwait(false);
            }
        }
        finally
        {
            members.Disconnected(session);
        }
    }

    private Task JoinAsync(HttpContext context)
    {
        var refusal = members.Join(Number(context, "id"), (int)Number(context, "rank"));
        return refusal is null ? Task.CompletedTask : RefuseAsync(context, StatusCodes.Status409Conflict, refusal);
    }

    private Task LeaveAsync(HttpContext context)
    {
        members.Leave(Number(context, "id"));
        return Task.CompletedTask;
    }

    private async Task FailAsync(HttpContext context)
    {
        if (await BodyAsync(context, 8 * FailureReport.MaxMessageLength).ConfigureAwait(false) is not { } body)
            await DoneAsync(context, StatusCodes.Status413PayloadTooLarge).ConfigureAwait(false);
        else
            members.Fail((int)Number(context, "g"), (int)Number(context, "rank"), FailureReport.Parse(body));
    }

    private bool IsOurs(HttpRequest request)
    {
        var shown = request.Headers.Authorization.ToString();
        return shown.StartsWith(Scheme, StringComparison.Ordinal)
            && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(shown[Scheme.Length..]), _token);
    }

    /// <summary>A key of one attempt of the job, kept apart from those of the others.</summary>
    private static string Key(HttpContext context)
    {
        var key = context.Request.Query["k"].ToString();
        StoreLimits.CheckKey(key);
        return Prefix(Number(context, "g")) + key;
    }

    /// <summary>What keeps the keys of one attempt apart from those of the others.</summary>
    public static string Prefix(long generation) => string.Create(CultureInfo.InvariantCulture, $"{generation}/");

    private static long Number(HttpContext context, string name) =>
        long.Parse(context.Request.Query[name].ToString(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);

    private static async Task<byte[]?> BodyAsync(HttpContext context, int limit)
    {
        if (context.Request.ContentLength is not { } length) throw new FormatException("a value needs a Content-Length");
        if (length > limit) return null;
        var body = new byte[length];
        await context.Request.Body.ReadExactlyAsync(body, context.RequestAborted).ConfigureAwait(false);
        return body;
    }

    private static Task BytesAsync(HttpContext context, byte[] bytes)
    {
        context.Response.ContentLength = bytes.Length;
        return context.Response.Body.WriteAsync(bytes, context.RequestAborted).AsTask();
    }

    private static Task DoneAsync(HttpContext context, int status)
    {
        context.Response.StatusCode = status;
        return Task.CompletedTask;
    }

    private static Task RefuseAsync(HttpContext context, int status, string reason)
    {
        context.Response.StatusCode = status;
        return BytesAsync(context, Encoding.UTF8.GetBytes(reason));
    }
}

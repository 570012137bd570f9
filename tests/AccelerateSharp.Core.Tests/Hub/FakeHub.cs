using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using AccelerateSharp.Hub;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace AccelerateSharp.Core.Tests.Hub;

/// <summary>A server that behaves like the Hub: an API, small files from itself, and large ones by a redirect to another host.</summary>
internal sealed class FakeHub : IAsyncDisposable
{
    public const string Model = "org/net", Commit = "0123456789abcdef0123456789abcdef01234567", Token = "hf_secret";

    private readonly WebApplication _application;
    private readonly int _hubPort;
    private readonly string _elsewhere;

    private FakeHub(WebApplication application)
    {
        _application = application;
        var addresses = application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.ToArray();
        Endpoint = new Uri(addresses[0] + "/");
        _hubPort = Endpoint.Port;
        _elsewhere = addresses[1];
    }

    public Uri Endpoint { get; }

    /// <summary>The files of the one model that there is.</summary>
    public Dictionary<string, byte[]> Files { get; } = [];

    /// <summary>What was asked for: method, path and range.</summary>
    public ConcurrentQueue<string> Requests { get; } = [];

    /// <summary>Answers to the next requests for the contents of files, in place of the usual ones.</summary>
    public ConcurrentQueue<Func<HttpContext, byte[], Task>> NextContents { get; } = [];

    /// <summary>Statuses of the next requests to the API.</summary>
    public ConcurrentQueue<int> NextStatuses { get; } = [];

    /// <summary>Whether the API begins an answer and does not end it.</summary>
    public bool Stalls { get; set; }

    /// <summary>The refusal of every file, or null.</summary>
    public (int Status, string Code)? Refusal { get; set; }

    /// <summary>Whether only the holder of the token sees the model.</summary>
    public bool IsPrivate { get; set; }

    /// <summary>What is announced in place of the right checksum, or null.</summary>
    public string? Etag { get; set; }

    public static async Task<FakeHub> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0", "http://127.0.0.1:0");
        var application = builder.Build();
        FakeHub? hub = null;
        application.Run(context => hub!.AnswerAsync(context));
        await application.StartAsync();
        return hub = new FakeHub(application);
    }

    public HubOptions Options(string cacheFolder) => new()
    {
        Endpoint = Endpoint,
        CacheFolder = cacheFolder,
        FirstDelay = TimeSpan.FromMilliseconds(1),
        StallTimeout = TimeSpan.FromSeconds(20),
    };

    public async ValueTask DisposeAsync() => await _application.DisposeAsync();

    /// <summary>Sends only so many bytes, without announcing how many there are.</summary>
    public static Func<HttpContext, byte[], Task> CutAfter(int count) => (context, bytes) => context.Response.Body.WriteAsync(bytes, 0, count);

    /// <summary>Sends only so many bytes of what it announces, and resets the connection; what arrives of them is chance.</summary>
    public static Func<HttpContext, byte[], Task> ResetAfter(int count) => async (context, bytes) =>
    {
        context.Response.ContentLength = bytes.Length;
        await context.Response.Body.WriteAsync(bytes.AsMemory(0, count));
        await context.Response.Body.FlushAsync();
        context.Abort();
    };

    /// <summary>Sends these bytes as if they were the file.</summary>
    public static Func<HttpContext, byte[], Task> Instead(byte[] other) => async (context, _) =>
    {
        context.Response.ContentLength = other.Length;
        await context.Response.Body.WriteAsync(other);
    };

    /// <summary>Sends some bytes, and then nothing until the client goes away.</summary>
    public static Func<HttpContext, byte[], Task> StallAfter(int count) => async (context, bytes) =>
    {
        context.Response.ContentLength = bytes.Length;
        await context.Response.Body.WriteAsync(bytes.AsMemory(0, count));
        await context.Response.Body.FlushAsync();
        var gone = new TaskCompletionSource();
        await using var registration = context.RequestAborted.Register(gone.SetResult);
        await gone.Task;
    };

    private async Task AnswerAsync(HttpContext context)
    {
        var path = context.Request.Path.Value!;
        Requests.Enqueue($"{context.Request.Method} {path}{context.Request.Headers.Range.ToString() switch { "" => "", var range => " " + range }}");
        var hasToken = context.Request.Headers.Authorization == "Bearer " + Token;
        if (context.Connection.LocalPort != _hubPort)
        {
            // The token is the Hub's alone.
            if (context.Request.Headers.Authorization.Count > 0) context.Response.StatusCode = 500;
            else await SendAsync(context, Files[path[1..]]);
        }
        else if (NextStatuses.TryDequeue(out var status))
        {
            context.Response.StatusCode = status;
        }
        else if (Stalls)
        {
            await StallAfter(1)(context, "{}"u8.ToArray());
        }
        else if (path == "/api/models")
        {
            await context.Response.WriteAsync("""[{"id":"org/nest"},{"id":"org/unrelated-thing"},{"id":"org/nets"},{"id":"elsewhere/network"}]""");
        }
        else if (path.StartsWith("/api/models/old/name/", StringComparison.Ordinal))
        {
            context.Response.StatusCode = 307;
            context.Response.Headers.Location = $"/api/models/{Model}/revision/main";
        }
        else if (IsPrivate && !hasToken)
        {
            Refuse(context, 401, "RepoNotFound");
        }
        else if (path.StartsWith($"/api/models/{Model}/revision/", StringComparison.Ordinal))
        {
            if (path.EndsWith("/main", StringComparison.Ordinal)) await context.Response.WriteAsync(ModelJson());
            else Refuse(context, 404, "RevisionNotFound");
        }
        else if (path.StartsWith($"/{Model}/resolve/{Commit}/", StringComparison.Ordinal))
        {
            await AnswerFileAsync(context, path.Split('/', 6)[5], hasToken);
        }
        else
        {
            Refuse(context, 401, "RepoNotFound");
        }
    }

    private async Task AnswerFileAsync(HttpContext context, string file, bool hasToken)
    {
        if (Refusal is { } refusal && !hasToken)
        {
            Refuse(context, refusal.Status, refusal.Code);
        }
        else if (!Files.TryGetValue(file, out var bytes))
        {
            Refuse(context, 404, "EntryNotFound");
        }
        else if (file.EndsWith(".json", StringComparison.Ordinal))
        {
            var sum = SHA1.HashData([.. Encoding.ASCII.GetBytes($"blob {bytes.Length}\0"), .. bytes]);
            context.Response.Headers.ETag = $"\"{Etag ?? Convert.ToHexStringLower(sum)}\"";
            await SendAsync(context, bytes);
        }
        else
        {
            context.Response.StatusCode = 302;
            context.Response.Headers["X-Linked-Etag"] = $"\"{Etag ?? Convert.ToHexStringLower(SHA256.HashData(bytes))}\"";
            context.Response.Headers["X-Linked-Size"] = bytes.Length.ToString(CultureInfo.InvariantCulture);
            context.Response.Headers.Location = $"{_elsewhere}/{file}";
        }
    }

    private async Task SendAsync(HttpContext context, byte[] bytes)
    {
        if (context.Request.Method == "HEAD")
        {
            context.Response.ContentLength = bytes.Length;
            return;
        }
        if (context.Request.GetTypedHeaders().Range?.Ranges.Single() is { } range)
        {
            var from = (int)range.From!.Value;
            if (from >= bytes.Length)
            {
                context.Response.StatusCode = 416;
                return;
            }
            var to = (int)Math.Min(range.To ?? long.MaxValue, bytes.Length - 1);
            context.Response.StatusCode = (int)HttpStatusCode.PartialContent;
            context.Response.Headers.ContentRange = $"bytes {from}-{to}/{bytes.Length}";
            bytes = bytes[from..(to + 1)];
        }
        if (NextContents.TryDequeue(out var answer))
        {
            await answer(context, bytes);
            return;
        }
        context.Response.ContentLength = bytes.Length;
        await context.Response.Body.WriteAsync(bytes);
    }

    private string ModelJson() =>
        $$"""{"id":"{{Model}}","sha":"{{Commit}}","siblings":[{{string.Join(',', Files.Keys.Select(file => $"{{\"rfilename\":{JsonSerializer.Serialize(file)}}}"))}}]}""";

    private static void Refuse(HttpContext context, int status, string code)
    {
        context.Response.StatusCode = status;
        context.Response.Headers["X-Error-Code"] = code;
    }
}

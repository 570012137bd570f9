using System.Net.Http.Headers;
using System.Text.Json;
using AccelerateSharp.Safetensors;

namespace AccelerateSharp.Hub;

/// <summary>A client of the Hub: what a model consists of, its files through the shared cache, and the headers of its weights alone.</summary>
internal sealed class HubClient : IDisposable
{
    // Nearly all headers fit, so that one request is enough.
    private const int FirstBytes = 100 * 1024;

    private readonly HubOptions _options;
    private readonly HubTransport _transport;
    private readonly HubRefusals _refusals;
    private readonly HubDownload _download;

    public HubClient(HubOptions options)
    {
        _options = options;
        _transport = new HubTransport(options);
        _refusals = new HubRefusals(options, _transport);
        _download = new HubDownload(_transport, _refusals, options);
    }

    public void Dispose() => _transport.Dispose();

    /// <summary>Finds a model, on the server or, where that may not or cannot be asked, in the cache.</summary>
    /// <param name="id">Its name: <c>organisation/name</c>.</param>
    /// <param name="revision">A branch, tag or commit.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="HubException">It is not there, or not for you.</exception>
    public async Task<HubModel> FindAsync(string id, string revision, CancellationToken cancellationToken)
    {
        if (!HubNames.IsModelId(id)) throw new HubException(HubFailure.NoSuchModel, $"'{id}' can be no model of the Hub: those are named organisation/name.");
        if (!HubNames.IsSafePath(revision)) throw new HubException(HubFailure.NoSuchRevision, $"'{revision}' can be no branch, tag or commit.");
        var cache = new HubCache(_options.CacheFolder, id);
        if (_options.Offline)
        {
            return FromCache(cache, id, revision) ?? throw new HubException(HubFailure.Offline,
                $"HF_HUB_OFFLINE is set, and '{id}' ({revision}) is not in the cache ({_options.CacheFolder}). Unset it once, or name a local folder.");
        }
        HttpResponseMessage response;
        try
        {
            response = await _transport.SendAsync(HttpMethod.Get, $"api/models/{id}/revision/{Uri.EscapeDataString(revision)}",
                range: null, followsElsewhere: false, cancellationToken).ConfigureAwait(false);
        }
        catch (HubException e) when (e.Failure == HubFailure.Unreachable && FromCache(cache, id, revision) is { } cached)
        {
            return cached;
        }
        using (response)
        {
            if (!response.IsSuccessStatusCode) throw await _refusals.ExplainAsync(response, id, revision, file: null, cancellationToken).ConfigureAwait(false);
            var model = await ParseAsync(response, id, revision, cancellationToken).ConfigureAwait(false);
            cache.SetCommit(revision, model.Commit);
            return model;
        }
    }

    /// <summary>The path of a file in the cache, downloaded where it is not there yet.</summary>
    public async Task<string> DownloadAsync(HubModel model, string file, CancellationToken cancellationToken)
    {
        Check(file);
        var cache = new HubCache(_options.CacheFolder, model.Id);
        if (cache.Find(model.Commit, file) is { } cached) return cached;
        if (model.IsFromCache) throw NotInCache(model, file);
        var blob = await _download.ToBlobAsync(model, file, Address(model, file), cache.Blobs, cancellationToken).ConfigureAwait(false);
        return cache.Link(model.Commit, file, blob);
    }

    /// <summary>Reads the header of a safetensors file; of its weights, no byte is fetched.</summary>
    public async Task<SafetensorsHeader> ReadHeaderAsync(HubModel model, string file, CancellationToken cancellationToken)
    {
        Check(file);
        if (new HubCache(_options.CacheFolder, model.Id).Find(model.Commit, file) is { } cached) return SafetensorsHeader.Read(cached);
        if (model.IsFromCache) throw NotInCache(model, file);
        var name = $"{model.Id}/{file}";
        var (start, fileLength) = await FetchStartAsync(model, file, FirstBytes, cancellationToken).ConfigureAwait(false);
        var needed = SafetensorsHeader.PrefixLength + SafetensorsHeader.JsonLength(start, fileLength, name);
        if (needed > start.Length) (start, fileLength) = await FetchStartAsync(model, file, needed, cancellationToken).ConfigureAwait(false);
        return SafetensorsHeader.Parse(start, fileLength, name);
    }

    private async Task<(byte[] Start, long? FileLength)> FetchStartAsync(HubModel model, string file, int count, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            using var response = await _transport.SendAsync(HttpMethod.Get, Address(model, file), new RangeHeaderValue(0, count - 1),
                followsElsewhere: true, cancellationToken).ConfigureAwait(false);
            if (!response.IsSuccessStatusCode)
                throw await _refusals.ExplainAsync(response, model.Id, model.Revision, file, cancellationToken).ConfigureAwait(false);
            var range = response.Content.Headers.ContentRange;
            if (range is { From: not 0 }) throw new HubException(HubFailure.Damaged, $"The server sends another part of '{file}' of '{model.Id}' than it was asked for.");
            // Without a range in the answer, the server sends the whole file; what is not needed of it stays unread.
            var fileLength = range is null ? response.Content.Headers.ContentLength : range.Length;
            var expected = (int)Math.Min(count, fileLength ?? count);
            var start = new byte[expected];
            var done = 0;
            try
            {
                var body = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
                while (done < expected && await _transport.ReadAsync(body, start.AsMemory(done), cancellationToken).ConfigureAwait(false) is > 0 and var read) done += read;
                if (done == expected || fileLength is null) return (start[..done], fileLength);
                throw new HttpIOException(HttpRequestError.ResponseEnded, $"the connection was closed after {done} of {expected} bytes");
            }
            catch (Exception e) when (HubTransport.IsConnectionTrouble(e, cancellationToken))
            {
                if (attempt >= _options.MaxAttempts) throw _transport.Unreachable(e);
                await _transport.DelayAsync(attempt, serversDelay: null, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private async Task<HubModel> ParseAsync(HttpResponseMessage response, string id, string revision, CancellationToken cancellationToken)
    {
        try
        {
            using var document = JsonDocument.Parse(await _transport.ReadAllAsync(response, cancellationToken).ConfigureAwait(false));
            var commit = document.RootElement.GetProperty("sha").GetString()!;
            string[] files = [.. document.RootElement.GetProperty("siblings").EnumerateArray()
                .Select(sibling => sibling.GetProperty("rfilename").GetString()!).Where(HubNames.IsSafePath)];
            if (HubNames.IsPlainWord(commit)) return new HubModel(id, revision, commit, files, IsFromCache: false);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            throw NoHub(e);
        }
        catch (Exception e) when (HubTransport.IsConnectionTrouble(e, cancellationToken))
        {
            throw _transport.Unreachable(e);
        }
        throw NoHub(null);

        HubException NoHub(Exception? cause) =>
            new(HubFailure.Damaged, $"{_options.Endpoint} does not answer as a Hub does. Check HF_ENDPOINT.", cause);
    }

    private static HubModel? FromCache(HubCache cache, string id, string revision) =>
        cache.CommitOf(revision) is { } commit && cache.FilesOf(commit) is { Count: > 0 } files
            ? new HubModel(id, revision, commit, files, IsFromCache: true) : null;

    private HubException NotInCache(HubModel model, string file) => new(HubFailure.Offline,
        $"'{file}' of '{model.Id}' is not in the cache ({_options.CacheFolder}), and the Hub {(_options.Offline ? "may not be asked (HF_HUB_OFFLINE)" : "cannot be reached")}.");

    private static void Check(string file)
    {
        if (!HubNames.IsSafePath(file)) throw new HubException(HubFailure.NoSuchFile, $"'{file}' is no path inside of a repository.");
    }

    private static string Address(HubModel model, string file) =>
        $"{model.Id}/resolve/{model.Commit}/{string.Join('/', file.Split('/').Select(Uri.EscapeDataString))}";
}

using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;

namespace AccelerateSharp.Hub;

/// <summary>Downloads one file into the cache's blobs: resumed where it broke off, checked, and renamed when it is complete.</summary>
internal sealed class HubDownload(HubTransport transport, HubRefusals refusals, HubOptions options)
{
    private static readonly TimeSpan _lockInterval = TimeSpan.FromMilliseconds(100);

    /// <summary>What the server says of a file before it is fetched.</summary>
    private readonly record struct Announced(string Etag, long Length);

    /// <summary>Returns the path of the complete blob.</summary>
    public async Task<string> ToBlobAsync(HubModel model, string file, string address, string blobs, CancellationToken cancellationToken)
    {
        var announced = await AskAsync(model, file, address, cancellationToken).ConfigureAwait(false);
        var blob = Path.Combine(blobs, announced.Etag);
        if (File.Exists(blob)) return blob;
        Directory.CreateDirectory(blobs);
        var partial = blob + ".incomplete";
        await using var stream = await LockAsync(partial, blob, cancellationToken).ConfigureAwait(false);
        if (stream is null) return blob;
        // What an earlier download left may be damaged, so a wrong sum gets one more try from the start.
        for (var isLast = stream.Length == 0; ; isLast = true)
        {
            await FillAsync(stream, model, file, address, announced.Length, cancellationToken).ConfigureAwait(false);
            if (await HasSumAsync(stream, announced, cancellationToken).ConfigureAwait(false)) break;
            stream.SetLength(0);
            if (isLast)
                throw new HubException(HubFailure.Damaged, $"'{file}' of '{model.Id}' arrived damaged: its checksum is not {announced.Etag}. Nothing was kept; try again.");
        }
        stream.Flush(flushToDisk: true);
        File.Move(partial, blob, overwrite: true);
        return blob;
    }

    private async Task<Announced> AskAsync(HubModel model, string file, string address, CancellationToken cancellationToken)
    {
        using var response = await transport.SendAsync(HttpMethod.Head, address, range: null, followsElsewhere: false, cancellationToken).ConfigureAwait(false);
        if ((int)response.StatusCode >= 400)
            throw await refusals.ExplainAsync(response, model.Id, model.Revision, file, cancellationToken).ConfigureAwait(false);
        // A large file is a redirect to elsewhere; the Hub tells of it in headers of its own.
        var etag = Header(response, "X-Linked-Etag") ?? response.Headers.ETag?.Tag;
        var length = long.TryParse(Header(response, "X-Linked-Size"), NumberStyles.None, CultureInfo.InvariantCulture, out var linked)
            ? linked : response.Content.Headers.ContentLength;
        etag = etag is null ? null : (etag.StartsWith("W/", StringComparison.Ordinal) ? etag[2..] : etag).Trim('"');
        return etag is not null && HubNames.IsPlainWord(etag) && length is { } known
            ? new Announced(etag, known)
            : throw new HubException(HubFailure.Damaged, $"{options.Endpoint} does not tell the checksum and length of '{file}' of '{model.Id}'. Is HF_ENDPOINT a Hub?");
    }

    private static string? Header(HttpResponseMessage response, string name) =>
        response.Headers.TryGetValues(name, out var values) ? values.First() : null;

    /// <summary>Opens the unfinished file for this process alone; null where another process finished it meanwhile.</summary>
    private static async Task<FileStream?> LockAsync(string partial, string blob, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                var stream = new FileStream(partial, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
                if (!File.Exists(blob)) return stream;
                await stream.DisposeAsync().ConfigureAwait(false);
                return null;
            }
            // Another process has it open: it is downloading the same file.
            catch (IOException) when (File.Exists(partial) || File.Exists(blob))
            {
                if (File.Exists(blob)) return null;
                await Task.Delay(_lockInterval, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Fetches what is missing, as often as there is progress or an attempt left.</summary>
    private async Task FillAsync(FileStream stream, HubModel model, string file, string address, long length, CancellationToken cancellationToken)
    {
        if (stream.Length > length) stream.SetLength(0);
        for (var attempt = 1; stream.Length < length; attempt++)
        {
            var before = stream.Length;
            try
            {
                await FetchAsync(stream, model, file, address, length, cancellationToken).ConfigureAwait(false);
                if (stream.Length >= length) break;
                throw new HttpIOException(HttpRequestError.ResponseEnded, $"the connection was closed after {stream.Length} of {length} bytes");
            }
            catch (Exception e) when (HubTransport.IsConnectionTrouble(e, cancellationToken))
            {
                if (stream.Length > before) attempt = 1;
                if (attempt >= options.MaxAttempts) throw transport.Unreachable(e);
                await transport.DelayAsync(attempt, serversDelay: null, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private async Task FetchAsync(FileStream stream, HubModel model, string file, string address, long length, CancellationToken cancellationToken)
    {
        var range = stream.Length > 0 ? new RangeHeaderValue(stream.Length, null) : null;
        using var response = await transport.SendAsync(HttpMethod.Get, address, range, followsElsewhere: true, cancellationToken).ConfigureAwait(false);
        if (response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable)
        {
            stream.SetLength(0);
            return;
        }
        if (!response.IsSuccessStatusCode)
            throw await refusals.ExplainAsync(response, model.Id, model.Revision, file, cancellationToken).ConfigureAwait(false);
        // A server that knows no ranges, or sends another one, starts from the beginning.
        var isContinued = response.StatusCode == HttpStatusCode.PartialContent && response.Content.Headers.ContentRange?.From == stream.Length;
        if (response.StatusCode == HttpStatusCode.PartialContent && !isContinued)
            throw new HubException(HubFailure.Damaged, $"The server sends another part of '{file}' of '{model.Id}' than it was asked for.");
        if (!isContinued) stream.SetLength(0);
        if (response.Content.Headers.ContentLength is { } announced && announced != length - stream.Length)
        {
            throw new HubException(HubFailure.Damaged,
                $"'{file}' of '{model.Id}' has {length} bytes by the Hub's list, but the server sends {stream.Length + announced}. Nothing was kept; try again later.");
        }
        stream.Position = stream.Length;
        var body = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
        var buffer = new byte[1 << 20];
        while (await transport.ReadAsync(body, buffer, cancellationToken).ConfigureAwait(false) is > 0 and var read)
        {
            if (stream.Length + read > length)
            {
                stream.SetLength(0);
                throw new HubException(HubFailure.Damaged, $"The server sends more than the {length} bytes of '{file}' of '{model.Id}'. Nothing was kept.");
            }
            await stream.WriteAsync(buffer.AsMemory(0, read), cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Whether the file is what its etag names: a SHA-256, or the SHA-1 of a git blob. Other etags tell nothing.</summary>
    private static async Task<bool> HasSumAsync(FileStream stream, Announced announced, CancellationToken cancellationToken)
    {
        if (!announced.Etag.All(char.IsAsciiHexDigit)) return true;
        using var hash = announced.Etag.Length switch
        {
            64 => IncrementalHash.CreateHash(HashAlgorithmName.SHA256),
            40 => IncrementalHash.CreateHash(HashAlgorithmName.SHA1),
            _ => null,
        };
        if (hash is null) return true;
        if (announced.Etag.Length == 40) hash.AppendData(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"blob {announced.Length}\0")));
        stream.Position = 0;
        var buffer = new byte[1 << 20];
        while (await stream.ReadAsync(buffer, cancellationToken).ConfigureAwait(false) is > 0 and var read) hash.AppendData(buffer, 0, read);
        return Convert.ToHexStringLower(hash.GetHashAndReset()) == announced.Etag.ToLowerInvariant();
    }
}

using System.Net;
using System.Text.Json;

namespace AccelerateSharp.Hub;

/// <summary>Turns the Hub's refusals into errors that help.</summary>
internal sealed class HubRefusals(HubOptions options, HubTransport transport)
{
    private const int NameCount = 3, SearchLimit = 20;

    /// <summary>Why there was no answer to work with.</summary>
    /// <param name="response">The refusal.</param>
    /// <param name="id">The model.</param>
    /// <param name="revision">The revision.</param>
    /// <param name="file">The file that was asked for, or null where it was the model itself.</param>
    /// <param name="cancellationToken">Gives up the search for similar names.</param>
    public async Task<HubException> ExplainAsync(
        HttpResponseMessage response, string id, string revision, string? file, CancellationToken cancellationToken)
    {
        var code = response.Headers.TryGetValues("X-Error-Code", out var values) ? values.First() : "";
        var hasToken = options.Token is not null;
        var page = new Uri(options.Endpoint, id);
        switch ((response.StatusCode, code))
        {
            case (_, "GatedRepo"):
                return new HubException(HubFailure.Gated, hasToken
                    ? $"'{id}' is gated, and your access token may not read it yet. Accept its conditions at {page} with the account of the token."
                    : $"'{id}' is gated. Accept its conditions at {page}, make a token at {new Uri(options.Endpoint, "settings/tokens")} and set HF_TOKEN to it.");
            case (_, "RevisionNotFound"):
                return new HubException(HubFailure.NoSuchRevision, $"'{id}' has no branch, tag or commit '{revision}'.");
            case (_, "EntryNotFound"):
            case (HttpStatusCode.NotFound, "") when file is not null:
                return new HubException(HubFailure.NoSuchFile, $"'{id}' has no file '{file}' at '{revision}'.");
            // To somebody without a valid token, the Hub does not tell whether a private repository is there.
            case (_, "RepoNotFound"):
            case (HttpStatusCode.NotFound, _):
            case (HttpStatusCode.Unauthorized, _) when !hasToken:
                return await NoSuchModelAsync(id, cancellationToken).ConfigureAwait(false);
            case (HttpStatusCode.Unauthorized, _):
                return new HubException(HubFailure.Unauthorized,
                    $"{options.Endpoint} does not accept the access token (401). Check HF_TOKEN, or the token file, or leave it out for public models.");
            case (HttpStatusCode.Forbidden, _):
                return new HubException(HubFailure.Unauthorized,
                    $"The access token may not read '{id}' (403). {(hasToken ? "A fine-grained token needs the right to read this repository." : "Set HF_TOKEN.")}");
            default:
                return new HubException(HubFailure.Unreachable, $"{options.Endpoint} answered with status {(int)response.StatusCode} to the request for '{id}'.");
        }
    }

    private async Task<HubException> NoSuchModelAsync(string id, CancellationToken cancellationToken)
    {
        var names = HubNames.Nearest(id, await SearchAsync(id, cancellationToken).ConfigureAwait(false), NameCount);
        var hint = names.Count > 0 ? $" Did you mean {string.Join(", ", names)}?" : "";
        var isPrivate = options.Token is null ? "If it is private, set HF_TOKEN." : "If it is private, the access token needs the right to read it.";
        return new HubException(HubFailure.NoSuchModel, $"There is no model '{id}' at {options.Endpoint}.{hint} {isPrivate}");
    }

    private async Task<IEnumerable<string>> SearchAsync(string id, CancellationToken cancellationToken)
    {
        try
        {
            var word = id[(id.IndexOf('/', StringComparison.Ordinal) + 1)..];
            using var response = await transport.SendAsync(HttpMethod.Get, $"api/models?search={Uri.EscapeDataString(word)}&limit={SearchLimit}",
                range: null, followsElsewhere: false, cancellationToken).ConfigureAwait(false);
            if (!response.IsSuccessStatusCode) return [];
            using var found = JsonDocument.Parse(await transport.ReadAllAsync(response, cancellationToken).ConfigureAwait(false));
            return [.. found.RootElement.EnumerateArray().Select(model => model.GetProperty("id").GetString()!).Where(HubNames.IsModelId)];
        }
        // Names are a courtesy; the error that they belong to is what counts.
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or HubException
            || HubTransport.IsConnectionTrouble(e, cancellationToken))
        {
            return [];
        }
    }
}

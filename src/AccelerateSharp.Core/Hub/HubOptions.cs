namespace AccelerateSharp.Hub;

/// <summary>How the Hub is reached, and where what comes from it is kept.</summary>
internal sealed record HubOptions
{
    /// <summary>The address of the Hub (<c>HF_ENDPOINT</c>).</summary>
    public required Uri Endpoint { get; init; }

    /// <summary>The folder of the cache (<c>HF_HUB_CACHE</c>), in the layout that all of the Hub's clients share.</summary>
    public required string CacheFolder { get; init; }

    /// <summary>The user's access token (<c>HF_TOKEN</c>, or the token file), or null. It is sent to <see cref="Endpoint"/> alone.</summary>
    public string? Token { get; init; }

    /// <summary>Whether only the cache may be used (<c>HF_HUB_OFFLINE</c>).</summary>
    public bool Offline { get; init; }

    /// <summary>How long the server may say nothing.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The wait before the first repetition; it doubles with each.</summary>
    public TimeSpan FirstDelay { get; init; } = TimeSpan.FromSeconds(0.5);

    /// <summary>How often a request is sent before it counts as failed.</summary>
    public int MaxAttempts { get; init; } = 5;

    /// <summary>Reads the variables that all of the Hub's clients read.</summary>
    /// <exception cref="HubException">A variable makes no sense.</exception>
    public static HubOptions FromEnvironment(Func<string, string?> variable)
    {
        var endpoint = Value("HF_ENDPOINT") ?? "https://huggingface.co";
        if (!Uri.TryCreate(endpoint.TrimEnd('/') + "/", UriKind.Absolute, out var address) || address.Scheme is not ("http" or "https"))
            throw new HubException(HubFailure.Settings, $"HF_ENDPOINT is '{endpoint}', which is no http or https address.");
        var userCache = Value("XDG_CACHE_HOME")
            ?? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile, Environment.SpecialFolderOption.DoNotVerify), ".cache");
        var home = Value("HF_HOME") ?? Path.Combine(userCache, "huggingface");
        var offline = (Value("HF_HUB_OFFLINE") ?? "").ToUpperInvariant();
        return new HubOptions
        {
            Endpoint = address,
            CacheFolder = Path.GetFullPath(Value("HF_HUB_CACHE") ?? Value("HUGGINGFACE_HUB_CACHE") ?? Path.Combine(home, "hub")),
            Token = Value("HF_TOKEN") ?? Value("HUGGING_FACE_HUB_TOKEN") ?? TokenIn(Value("HF_TOKEN_PATH") ?? Path.Combine(home, "token")),
            Offline = offline is "1" or "ON" or "YES" or "TRUE",
        };

        string? Value(string name) => variable(name)?.Trim() is { Length: > 0 } value ? value : null;
    }

    private static string? TokenIn(string file)
    {
        try
        {
            return File.Exists(file) && File.ReadAllText(file).Trim() is { Length: > 0 } token ? token : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new HubException(HubFailure.Settings, $"The access token in '{file}' cannot be read: {e.Message}", e);
        }
    }
}

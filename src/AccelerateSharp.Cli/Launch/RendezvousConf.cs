using System.Globalization;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch;

/// <summary>The settings of torchrun's <c>--rdzv_conf</c>, as far as there is something to set here.</summary>
internal sealed record RendezvousConf
{
    private const string JoinTimeoutKey = "join_timeout", LastCallKey = "last_call_timeout", IsHostKey = "is_host";

    // torchrun's keys for the internals of its own stores.
    private static readonly string[] _withoutEffect =
        ["timeout", "close_timeout", "read_timeout", "heartbeat_timeout", "keep_alive_interval", "keep_alive_max_attempt", "store_type", "use_agent_store", "local_addr", "use_libuv"];

    /// <summary>How long the machines wait for each other, in every generation.</summary>
    public TimeSpan JoinTimeout { get; init; } = TimeSpan.FromSeconds(600);

    /// <summary>How long a job with room for more machines waits for one more, once the fewest are there.</summary>
    public TimeSpan LastCallTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Whether this machine's launcher hosts the rendezvous; null to find out.</summary>
    public bool? IsHost { get; init; }

    /// <summary>The keys that were given and set nothing.</summary>
    public IReadOnlyList<string> WithoutEffect { get; init; } = [];

    public static RendezvousConf Parse(string option, string text)
    {
        var conf = new RendezvousConf();
        foreach (var part in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var equals = part.IndexOf('=', StringComparison.Ordinal);
            if (equals < 1) throw new UserErrorException($"{option} {text}: '{part}' is not of the form key=value.");
            var (key, value) = (part[..equals].Trim(), part[(equals + 1)..].Trim());
            conf = key switch
            {
                JoinTimeoutKey => conf with { JoinTimeout = Seconds(part, value) },
                LastCallKey => conf with { LastCallTimeout = Seconds(part, value) },
                IsHostKey => conf with { IsHost = Switch(part, value) },
                _ when _withoutEffect.Contains(key) => conf with { WithoutEffect = [.. conf.WithoutEffect, key] },
                _ => throw new UserErrorException($"{option}: there is no setting '{key}'. There are {JoinTimeoutKey}, {LastCallKey} (both in seconds) and {IsHostKey}."),
            };
        }
        return conf;

        TimeSpan Seconds(string part, string value) =>
            double.TryParse(value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var seconds) && seconds <= 7 * 86400
                ? TimeSpan.FromSeconds(seconds)
                : throw new UserErrorException($"{option}: '{part}' is not a number of seconds from 0 to a week.");

        bool Switch(string part, string value)
        {
            try
            {
                return EnvironmentReader.ParseFlag(part, value);
            }
            catch (InvalidOperationException)
            {
                throw new UserErrorException($"{option}: '{part}' is neither true nor false.");
            }
        }
    }
}

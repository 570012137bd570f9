using System.Net;
using System.Net.NetworkInformation;

namespace AccelerateSharp.Cli.Tests.Launch;

/// <summary>
/// Two machines, as far as the network goes: two network namespaces with a cable between them, made without any rights. Where a system
/// does not allow that, both are this machine and its loopback.
/// </summary>
internal sealed class TwoNetworks : IDisposable
{
    private const string Make =
        "mount -t tmpfs none /run && ip netns add m0 && ip netns add m1 && ip link add eth0 netns m0 type veth peer name eth0 netns m1 && "
        + "for m in 0 1; do ip -n m$m addr add 10.99.0.$((m + 1))/24 dev eth0 && ip -n m$m link set eth0 up && ip -n m$m link set lo up || exit; done && echo made $$ && exec sleep 1000";

    private readonly Tool? _holder;
    private readonly int _id;

    public TwoNetworks()
    {
        _holder = Tool.StartInShell($"exec unshare -Urnm sh -c '{Make}' || echo refused");
        var answer = _holder.WaitForEither("made", "refused", "not permitted");
        if (!answer.StartsWith("made", StringComparison.Ordinal))
        {
            _holder.Dispose();
            _holder = null;
            return;
        }
        _id = Processes.Ids([answer])[0];
    }

    /// <summary>Whether they are two networks.</summary>
    public bool AreApart => _holder is not null;

    /// <summary>The address of the first machine.</summary>
    public string Address => AreApart ? "10.99.0.1" : "127.0.0.1";

    /// <summary>The beginning of a shell command that runs on one of the machines.</summary>
    public string On(int machine) => AreApart ? $"nsenter -t {_id} -U -m --preserve-credentials nsenter --net=/run/netns/m{machine}" : "";

    /// <summary>A port of the first machine that nobody uses.</summary>
    public int FreePort()
    {
        if (AreApart) return 29500;
        var used = IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Select(listener => listener.Port).ToHashSet();
        return Enumerable.Range(IPEndPoint.MinPort + 23000, 5000).First(port => !used.Contains(port));
    }

    public void Dispose() => _holder?.Dispose();
}

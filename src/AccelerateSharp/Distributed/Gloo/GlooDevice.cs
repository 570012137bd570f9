using System.Net;
using System.Net.Sockets;
using System.Text;

namespace AccelerateSharp.Distributed.Gloo;

/// <summary>The network interface that this process's groups share, with the one thread that serves their sockets.</summary>
internal static unsafe class GlooDevice
{
    private static readonly Lock _gate = new();
    private static nint _shared;

    /// <summary>Opened at the first use and kept until the process ends.</summary>
    public static nint Shared
    {
        get
        {
            lock (_gate)
            {
                if (_shared == 0) _shared = Open();
                return _shared;
            }
        }
    }

    private static nint Open()
    {
        var (host, networkInterface) = Choose(Environment.GetEnvironmentVariable);
        nint device;
        try
        {
            fixed (byte* h = ZeroTerminated(host), i = ZeroTerminated(networkInterface))
                GlooNative.Check(GlooNative.asg_device_create(h, i, &device));
        }
        catch (DllNotFoundException e)
        {
            throw new DistributedException(
                "The Gloo backend's native library libaccelerate_gloo.so was not found beside AccelerateSharp.dll. It is built together "
                + "with the project where cmake, g++ and libgloo are installed (Debian, Ubuntu: apt-get install cmake g++ libgloo-dev); "
                + "install them and build again. At run time libgloo.so must be installed too.",
                e);
        }
        catch (GlooException e)
        {
            throw new DistributedException(
                $"Gloo cannot use {(networkInterface is null ? $"the address {host}" : $"the network interface {networkInterface} (GLOO_SOCKET_IFNAME)")}: {e.Message}. "
                + "Set GLOO_SOCKET_IFNAME to an interface of this machine that the other machines reach.",
                e);
        }
        return device;
    }

    /// <summary>
    /// Loopback where the job is on one machine, so that nothing listens on the network; else the interface that the user names, or the
    /// address from which this machine reaches the master.
    /// </summary>
    internal static (string? Host, string? Interface) Choose(Func<string, string?> environment)
    {
        if (environment("GLOO_SOCKET_IFNAME") is { Length: > 0 } names) return (null, names.Split(',')[0].Trim());
        var master = environment("MASTER_ADDR");
        var worldSize = environment("WORLD_SIZE");
        if (string.IsNullOrEmpty(master) || master == "localhost" || (IPAddress.TryParse(master, out var ip) && IPAddress.IsLoopback(ip))
            || (worldSize is not null && worldSize == environment("LOCAL_WORLD_SIZE")))
            return ("127.0.0.1", null);
        // The name of a machine often resolves to 127.0.1.1: ask the routing table instead. Nothing is sent.
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        probe.Connect(master, 1);
        return (((IPEndPoint)probe.LocalEndPoint!).Address.ToString(), null);
    }

    private static byte[]? ZeroTerminated(string? text) => text is null ? null : Encoding.UTF8.GetBytes(text + "\0");
}

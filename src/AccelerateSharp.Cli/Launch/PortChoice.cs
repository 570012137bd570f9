using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace AccelerateSharp.Cli.Launch;

/// <summary>The port of rank 0: the one that was asked for, or on a single machine any that is free where that one is taken.</summary>
internal static class PortChoice
{
    public static Setting<int> Decide(LaunchSettings settings)
    {
        var wanted = settings.MainProcessPort;
        if (wanted.Value is < 0 or > 65535) throw new UserErrorException($"{wanted} is not a port: pass 0 to 65535.");
        if (settings.MachineCount.Value > 1)
            return wanted.Value > 0 ? wanted : throw new UserErrorException($"{wanted} (any free one) works on a single machine only: name the port.");
        if (wanted.Value > 0 && IsFree(wanted.Value)) return wanted;
        var free = FreePort();
        return wanted.Value == 0
            ? new(free, "any free one, " + wanted.Source, wanted.Said)
            : new(free, string.Create(CultureInfo.InvariantCulture, $"port {wanted.Value} is taken"), wanted.Said);
    }

    private static bool IsFree(int port)
    {
        try
        {
            using var probe = new TcpListener(IPAddress.Loopback, port);
            probe.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private static int FreePort()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return ((IPEndPoint)probe.LocalEndpoint).Port;
    }
}

using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace AccelerateSharp.Cli.Launch.Machines;

/// <summary>Addresses of the rendezvous.</summary>
internal static class Endpoints
{
    public static string Of(string host, int port) =>
        string.Create(CultureInfo.InvariantCulture, $"{(host.Contains(':', StringComparison.Ordinal) ? $"[{host}]" : host)}:{port}");

    /// <summary>The address of this machine that a host name or address stands for; null where it stands for none.</summary>
    public static IPAddress? OfThisMachine(string host)
    {
        if (IPAddress.TryParse(host, out var literal)) return IsOurs(literal) ? literal : null;
        try
        {
            // A machine's own name may stand for loopback as well, where the others would not reach it.
            var addresses = Dns.GetHostAddresses(host).Where(IsOurs).ToList();
            return addresses.Find(address => !IPAddress.IsLoopback(address)) ?? addresses.FirstOrDefault();
        }
        catch (SocketException)
        {
            return null;
        }
    }

    private static bool IsOurs(IPAddress address) => IPAddress.IsLoopback(address)
        || NetworkInterface.GetAllNetworkInterfaces().Any(device => device.GetIPProperties().UnicastAddresses.Any(own => own.Address.Equals(address)));
}

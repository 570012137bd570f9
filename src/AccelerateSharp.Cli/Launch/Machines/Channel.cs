using System.Globalization;
using System.Text.Json;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Cli.Launch.Machines;

/// <summary>How launchers and coordinator talk through the store: two logs, one of reports and one of orders, that are only ever added to.</summary>
internal static class Channel
{
    /// <summary>The launchers' own part of the store; the attempts of the job count from 0.</summary>
    public const int Generation = -1;

    /// <summary>Counts the launchers' connections.</summary>
    public const string Members = "members";

    private const string OrderCount = "orders";

    /// <summary>Adds a report in one step, so that a launcher that dies meanwhile leaves no gap.</summary>
    /// <param name="store">The store.</param>
    /// <param name="report">The report.</param>
    /// <param name="next">Where the log may end; where it ends afterwards.</param>
    public static void Post(IRendezvousStore store, Report report, ref int next)
    {
        var bytes = JsonSerializer.SerializeToUtf8Bytes(report, MessageJson.Default.Report);
        while (!store.CompareAndSet(ReportKey(next++), null, bytes))
        {
        }
    }

    public static Report WaitForReport(IRendezvousStore store, int number, CancellationToken cancellationToken) =>
        JsonSerializer.Deserialize(Wait(store, ReportKey(number), cancellationToken), MessageJson.Default.Report)!;

    /// <summary>Adds an order. There is one coordinator.</summary>
    public static void Post(IRendezvousStore store, Order order, int number)
    {
        store.Set(OrderKey(number), JsonSerializer.SerializeToUtf8Bytes(order, MessageJson.Default.Order));
        store.Add(OrderCount, 1);
    }

    /// <summary>The number of orders so far.</summary>
    public static int Orders(IRendezvousStore store) => (int)store.Add(OrderCount, 0);

    public static Order WaitForOrder(IRendezvousStore store, int number, CancellationToken cancellationToken) =>
        JsonSerializer.Deserialize(Wait(store, OrderKey(number), cancellationToken), MessageJson.Default.Order)!;

    private static byte[] Wait(IRendezvousStore store, string key, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                return store.Wait(key, TimeSpan.FromHours(1), cancellationToken);
            }
            catch (TimeoutException)
            {
                // Nothing to say within the hour.
            }
        }
    }

    private static string ReportKey(int number) => string.Create(CultureInfo.InvariantCulture, $"report/{number}");

    private static string OrderKey(int number) => string.Create(CultureInfo.InvariantCulture, $"order/{number}");
}

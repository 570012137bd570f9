using System.Globalization;

namespace AccelerateSharp.Cli.Tests;

/// <summary>Whether processes are there, by their ids.</summary>
internal static class Processes
{
    /// <summary>The last word of each line, as a process id.</summary>
    public static int[] Ids(IEnumerable<string> lines) => [.. lines.Select(line => int.Parse(line.Split(' ')[^1], CultureInfo.InvariantCulture))];

    public static bool IsAlive(int id)
    {
        try
        {
            // "pid (name) state …"; a zombie has ended, only nobody has asked yet how.
            var stat = File.ReadAllText($"/proc/{id}/stat");
            return stat[stat.LastIndexOf(')')..].Split(' ')[1] is not ("Z" or "X");
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>Asserts that all of these end without any help.</summary>
    public static async Task AssertEndedAsync(params int[] ids)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (ids.Where(IsAlive).ToArray() is { Length: > 0 } alive)
        {
            Assert.False(patience.IsCancellationRequested, "still there: " + string.Join(", ", alive));
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }
    }
}

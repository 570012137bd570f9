using AccelerateSharp.Cli.Launch;
using AccelerateSharp.Configuration;
using AccelerateSharp.Diagnostics;

namespace AccelerateSharp.Cli.SelfTest;

/// <summary>Runs the self-test program on every process, by the launcher itself, and prints what each part found.</summary>
/// <remarks>
/// The program is carried along in the folder <c>selftest</c> beside the tool, in its package as in a build of the repository:
/// nothing is downloaded or compiled for a test. libtorch it finds on the machine, as every program does.
/// </remarks>
internal static class SelfTestRun
{
    public static string Program => Path.Combine(AppContext.BaseDirectory, "selftest", "AccelerateSharp.SelfTest.dll");

    /// <param name="config">The configuration that is tested; null for none.</param>
    /// <param name="processes">The number of processes; null for what the configuration says, or one for each GPU.</param>
    /// <param name="cpu">Whether the CPU is tested.</param>
    /// <returns>The exit code: 0 when every part succeeded on every rank.</returns>
    public static int Run(ConfigFile? config, int? processes, bool cpu)
    {
        if (!File.Exists(Program))
            throw new UserErrorException($"The self-test program '{Program}' is missing: this installation of `accelerate` is incomplete. Install the tool again.");
        var folder = Directory.CreateTempSubdirectory("accelerate-test-").FullName;
        try
        {
            var exitCode = Launcher.Run(new LaunchOptions { Config = config, ProcessCount = processes, Cpu = cpu, Target = Program, Arguments = [folder] });
            // Ctrl-C: the table would call unfinished what nobody wanted finished.
            if (exitCode is 128 + Posix.SigInt or 128 + Posix.SigTerm or 128 + Posix.SigHup) return exitCode;
            var ranks = RanksOf(folder, isFirstMachine: config is not { Config: { NumMachines: > 1, MachineRank: > 0 } });
            var outcomes = SelfTestTable.Join([.. ranks.Select(rank => SelfTestLog.Read(SelfTestLog.FileOf(folder, rank)))], ranks.FirstOrDefault());
            Console.Out.Write(SelfTestTable.Render(outcomes, ranks.Count));
            return exitCode == 0 && outcomes.All(outcome => outcome.State == PartState.Ok) ? 0 : 1;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>The ranks of this machine. One that died before its first line counts too, when a later one has written.</summary>
    private static List<int> RanksOf(string folder, bool isFirstMachine)
    {
        var files = Directory.GetFiles(folder).ToHashSet();
        var written = new List<int>();
        for (var rank = 0; files.Count > 0; rank++)
        {
            if (files.Remove(SelfTestLog.FileOf(folder, rank))) written.Add(rank);
        }
        var first = isFirstMachine || written.Count == 0 ? 0 : written[0];
        return written.Count == 0 ? [] : [.. Enumerable.Range(first, written[^1] - first + 1)];
    }
}

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
            var written = Directory.GetFiles(folder).ToHashSet();
            // A rank that died before its first line counts too, when a later one has written.
            var ranks = 0;
            for (var rank = 0; written.Count > 0; rank++)
            {
                if (written.Remove(SelfTestLog.FileOf(folder, rank))) ranks = rank + 1;
            }
            var outcomes = SelfTestTable.Join([.. Enumerable.Range(0, ranks).Select(rank => SelfTestLog.Read(SelfTestLog.FileOf(folder, rank)))]);
            Console.Out.Write(SelfTestTable.Render(outcomes, ranks));
            return exitCode == 0 && outcomes.All(outcome => outcome.State == PartState.Ok) ? 0 : 1;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}

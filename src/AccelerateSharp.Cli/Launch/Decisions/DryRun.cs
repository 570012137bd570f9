using System.Globalization;
using System.Runtime.Versioning;
using AccelerateSharp.Cli.Launch.Machines;
using AccelerateSharp.Cli.Launch.Mpi;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch.Decisions;

/// <summary>Shows what a launch would do on this machine, and does nothing of it.</summary>
[UnsupportedOSPlatform("windows")]
internal static class DryRun
{
    // Its value would stand in logs and in the scrollback of terminals.
    private const string Secret = "(the secret of the job)";

    /// <returns>The exit code.</returns>
    public static int Show(LaunchOptions options, LaunchPlan plan, ExecutionSettings settings, MpiJob? mpi, TextWriter output)
    {
        var target = TargetResolver.Resolve(options.Target, options.Arguments, options.IsProgram, CancellationToken.None, build: false);
        output.WriteLine("Settings:");
        Decision[] decisions =
        [
            .. plan.Decisions, .. settings.Decisions,
            new("grace_period", options.GracePeriod.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture), options.GracePeriodIsTyped ? "from --grace_period" : "the default"),
        ];
        var (names, values) = (decisions.Max(decision => decision.Name.Length), Math.Min(32, decisions.Max(decision => decision.Value.Length)));
        foreach (var decision in decisions) output.WriteLine($"  {decision.Name.PadRight(names)}  {decision.Value.PadRight(values)}  {decision.Source}");
        if (plan.Notes.Count + settings.Notes.Count > 0) output.WriteLine("\nRemarks:");
        foreach (var note in (IEnumerable<string>)[.. plan.Notes, .. settings.Notes]) output.WriteLine("  " + note);
        if (mpi is null) Workers(plan, settings, target, output);
        else Mpi(plan, mpi, target, output);
        return 0;
    }

    private static void Workers(LaunchPlan plan, ExecutionSettings settings, Target target, TextWriter output)
    {
        output.WriteLine("\nCommand of every worker:");
        output.WriteLine("  " + Command(target));
        var round = Round.Of(plan, settings.RunId ?? "(random)", attempt: 0);
        var endpoint = !plan.NeedsStore ? null : plan.MachineCount == 1 ? "127.0.0.1:(a free port)" : Endpoints.Of(plan.MasterAddress, plan.MasterPort);
        var workers = Enumerable.Range(0, plan.LocalWorldSize).Select(local => WorkerVariables.Of(plan, settings, round, local, endpoint)).ToList();
        var common = workers[0].Where(variable => workers.All(worker => worker[variable.Key] == variable.Value)).ToDictionary();
        output.WriteLine("\nEnvironment of every worker, beside that of the launcher:");
        Variables(common, output);
        if (plan.MachineCount > 1 && !settings.RanksAreFixed) output.WriteLine("\nRanks follow the order in which machines arrive; if this one comes first:");
        for (var local = 0; workers.Count > 1 && local < workers.Count; local++)
        {
            output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"\nEnvironment of rank {round.FirstRank + local}:"));
            Variables(workers[local].Where(variable => !common.ContainsKey(variable.Key)), output);
        }
    }

    private static void Mpi(LaunchPlan plan, MpiJob mpi, Target target, TextWriter output)
    {
        output.WriteLine("\nCommand:");
        output.WriteLine("  " + Command(mpi.CommandOf(plan, target)));
        output.WriteLine("\nEnvironment of every worker, beside what mpirun says of its place:");
        Variables(mpi.VariablesOf(plan), output);
    }

    private static void Variables(IEnumerable<KeyValuePair<string, string>> variables, TextWriter output)
    {
        foreach (var (name, value) in variables) output.WriteLine($"  {name}={(name == EnvironmentVariables.RendezvousToken ? Secret : Quoted(value))}");
    }

    private static string Command(Target target) => string.Join(' ', ((IEnumerable<string>)[target.Program, .. target.Arguments]).Select(Quoted));

    /// <summary>As a shell takes it.</summary>
    private static string Quoted(string text) => text.Length > 0 && text.All(c => char.IsAsciiLetterOrDigit(c) || "%+,-./:=@_".Contains(c, StringComparison.Ordinal))
        ? text
        : $"'{text.Replace("'", @"'\''", StringComparison.Ordinal)}'";
}

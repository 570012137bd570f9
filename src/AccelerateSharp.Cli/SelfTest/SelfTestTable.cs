using System.Globalization;
using System.Text;
using AccelerateSharp.Diagnostics;

namespace AccelerateSharp.Cli.SelfTest;

/// <summary>Joins what the ranks wrote, and shows it part by part.</summary>
internal static class SelfTestTable
{
    /// <param name="ranks">The records of each rank, in rank order.</param>
    /// <param name="firstRank">The first of them, on another machine than the first.</param>
    public static IReadOnlyList<PartOutcome> Join(IReadOnlyList<IReadOnlyList<SelfTestRecord>> ranks, int firstRank = 0) =>
        [.. SelfTestLog.Parts.Select(part => Join(part, ranks, firstRank))];

    private static PartOutcome Join(string part, IReadOnlyList<IReadOnlyList<SelfTestRecord>> ranks, int firstRank)
    {
        var begun = ranks.Count(records => records.Any(record => record.Part == part));
        if (begun == 0) return new PartOutcome(part, PartState.NotRun, 0, null, []);
        var ended = ranks.Select(records => records.FirstOrDefault(record => record.Part == part && record.Ended)).ToArray();
        var (causes, consequences) = (new List<(int Rank, string Problem)>(), new List<(int Rank, string Problem)>());
        for (var rank = 0; rank < ranks.Count; rank++)
        {
            if (ended[rank] is { } record)
                (record.IsConsequence ? consequences : causes).AddRange(record.Problems.Select(problem => (firstRank + rank, problem)));
            else
                consequences.Add((firstRank + rank, ranks[rank].Any(other => other.Part == part) ? "ended in the middle of it" : "never reached it"));
        }
        // What only followed from another rank's failure would hide the cause.
        var reasons = ByProblem(causes.Count > 0 ? causes : consequences);
        return new PartOutcome(
            part, reasons.Length == 0 ? PartState.Ok : PartState.Failed, ended.Max(record => record?.Seconds ?? 0), ended.FirstOrDefault()?.Note, reasons);
    }

    /// <summary>What several ranks say in the same words is said once.</summary>
    private static string[] ByProblem(IEnumerable<(int Rank, string Problem)> problems) => [.. problems
        .GroupBy(found => found.Problem, found => found.Rank)
        .Select(group => (Problem: group.Key, Ranks: group.Distinct().ToArray()))
        .Select(group => $"{(group.Ranks.Length == 1 ? "rank" : "ranks")} {string.Join(", ", group.Ranks)}: {group.Problem}")];

    public static string Render(IReadOnlyList<PartOutcome> outcomes, int processes)
    {
        var text = new StringBuilder().AppendLine();
        var width = outcomes.Max(outcome => outcome.Part.Length);
        foreach (var outcome in outcomes)
        {
            var state = outcome.State switch { PartState.Ok => "ok", PartState.Failed => "FAILED", _ => "not run" };
            var seconds = outcome.State == PartState.NotRun ? "" : string.Create(CultureInfo.InvariantCulture, $"{outcome.Seconds:0.0} s");
            text.AppendLine($"  {outcome.Part.PadRight(width)}  {state,-7}  {seconds,7}  {outcome.Note}".TrimEnd());
            foreach (var reason in outcome.Reasons) text.AppendLine("      " + reason.ReplaceLineEndings("\n      "));
        }
        text.AppendLine();
        var failed = outcomes.Where(outcome => outcome.State == PartState.Failed).Select(outcome => $"'{outcome.Part}'").ToArray();
        text.AppendLine(
            failed.Length > 0 ? $"The self-test failed: {string.Join(", ", failed)}. `accelerate env` tells about this machine."
            : outcomes.Any(outcome => outcome.State == PartState.NotRun) ? "The self-test did not run: no process got as far as its first part."
            : $"The self-test succeeded on {processes} process{(processes == 1 ? "" : "es")}: this machine is ready for training.");
        return text.ToString();
    }
}

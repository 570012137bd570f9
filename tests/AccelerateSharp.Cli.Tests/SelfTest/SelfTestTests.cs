using AccelerateSharp.Cli.SelfTest;
using AccelerateSharp.Diagnostics;

namespace AccelerateSharp.Cli.Tests.SelfTest;

public sealed class SelfTestTests
{
    [Theory]
    [InlineData("no", "no mixed precision: computes in Float32")]
    [InlineData("bf16", "bf16: computes in BFloat16, weights in Float32")]
    public async Task Every_part_succeeds_on_two_processes(string precision, string computes)
    {
        var (code, output, error) = await Tool.RunAsync(
            new Dictionary<string, string> { ["ACCELERATE_MIXED_PRECISION"] = precision }, "test", "--cpu", "--num_processes", "2");
        Assert.True(code == 0, string.Join('\n', [.. output, .. error]));
        Assert.All(SelfTestLog.Parts, part => Assert.Contains(output, line => IsRow(line, part, "ok")));
        Assert.Contains(output, line => IsRow(line, "precision", "ok") && line.Contains(computes, StringComparison.Ordinal));
        Assert.Contains("2 processes", output[^1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_configuration_is_tested_as_it_stands()
    {
        var file = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(file, Launch.TalkConfigs.Fsdp.Replace("FULL_SHARD", "SHARD_GRAD_OP", StringComparison.Ordinal), TestContext.Current.CancellationToken);
            var (code, output, error) = await Tool.RunAsync("test", "--config_file", file, "--cpu", "--num_processes", "2");
            Assert.True(code == 0, string.Join('\n', [.. output, .. error]));
            Assert.Contains(output, line => IsRow(line, "sharded training", "ok") && line.Contains("FSDP ShardGradOp: ", StringComparison.Ordinal));
            Assert.Contains(output, line => IsRow(line, "precision", "ok") && line.Contains("bf16: computes in BFloat16", StringComparison.Ordinal));
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Theory]
    [InlineData("GLOO_SOCKET_IFNAME", "nosuchinterface", "Gloo cannot use the network interface nosuchinterface")]
    [InlineData("ACCELERATE_LIBTORCH", "/no/such/folder", "ACCELERATE_LIBTORCH is '/no/such/folder'")]
    public async Task What_a_machine_lacks_is_named_with_its_part(string variable, string value, string reason)
    {
        var (code, output, _) = await Tool.RunAsync(new Dictionary<string, string> { [variable] = value }, "test", "--cpu", "--num_processes", "2");
        Assert.Equal(1, code);
        Assert.Contains(output, line => IsRow(line, "start", "FAILED"));
        Assert.Contains(output, line => line.Contains(reason, StringComparison.Ordinal));
        Assert.Contains(output, line => IsRow(line, "collectives", "not run"));
        Assert.StartsWith("The self-test failed: 'start'.", output[^1], StringComparison.Ordinal);
    }

    [Fact]
    public void A_wrong_value_on_one_rank_fails_that_part_alone()
    {
        var good = Records(SelfTestLog.Parts);
        var bad = Records(SelfTestLog.Parts);
        bad[3] = bad[3] with { Problems = ["sum of 5: expected 3, got 4"] };
        var outcomes = SelfTestTable.Join([good, bad]);
        Assert.Equal(SelfTestLog.Parts.Length - 1, outcomes.Count(outcome => outcome.State == PartState.Ok));
        Assert.Equal(["rank 1: sum of 5: expected 3, got 4"], outcomes[1].Reasons);
        Assert.Equal(["rank 5: sum of 5: expected 3, got 4"], SelfTestTable.Join([good, bad], firstRank: 4)[1].Reasons);
    }

    [Fact]
    public void A_lost_rank_is_the_cause_only_where_nobody_knows_better()
    {
        // Rank 0 suffers from what rank 1 says; of rank 2 there is only the beginning.
        var lost = Records(SelfTestLog.Parts[..2]);
        lost[3] = lost[3] with { Problems = ["rank 1 was lost"], IsConsequence = true };
        var broken = Records(SelfTestLog.Parts[..2]);
        broken[3] = broken[3] with { Problems = ["out of memory"] };
        var killed = Records(SelfTestLog.Parts[..2])[..3];
        var outcomes = SelfTestTable.Join([lost, broken, killed]);
        Assert.Equal(["rank 1: out of memory"], outcomes[1].Reasons);
        Assert.Equal(PartState.NotRun, outcomes[2].State);
        Assert.Equal(["rank 0: rank 1 was lost", "rank 1: ended in the middle of it"], SelfTestTable.Join([lost, killed])[1].Reasons);
    }

    [Fact]
    public void A_line_that_was_cut_off_is_a_part_that_has_not_ended()
    {
        var file = Path.GetTempFileName();
        try
        {
            SelfTestLog.Append(file, new SelfTestRecord("start", Ended: false, []));
            File.AppendAllText(file, "{\"Part\":\"start\",\"Ended\":tr");
            Assert.Equal("start", Assert.Single(SelfTestLog.Read(file)).Part);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static bool IsRow(string line, string part, string state) =>
        line.StartsWith($"  {part} ", StringComparison.Ordinal) && line[(part.Length + 2)..].TrimStart().StartsWith(state, StringComparison.Ordinal);

    private static List<SelfTestRecord> Records(string[] parts) =>
        [.. parts.SelectMany(part => new[] { new SelfTestRecord(part, Ended: false, []), new SelfTestRecord(part, Ended: true, [], Seconds: 0.1) })];
}

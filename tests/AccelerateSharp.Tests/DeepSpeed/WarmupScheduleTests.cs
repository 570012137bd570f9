using System.Text.Json.Nodes;
using AccelerateSharp.Parallel.DeepSpeed;

namespace AccelerateSharp.Tests.DeepSpeed;

/// <summary>DeepSpeed's schedules against their formulas, written out.</summary>
public sealed class WarmupScheduleTests
{
    [Fact]
    public void WarmupLR_rises_by_the_logarithm_or_a_line_and_stays()
    {
        var log = Create("WarmupLR", """{"warmup_min_lr": 0.1, "warmup_max_lr": 1.1, "warmup_num_steps": 10}""", 1);
        Assert.Equal(0.1, log.At(-1)[0], 12);
        Assert.Equal(0.1, log.At(0)[0], 12);
        Assert.Equal(0.1 + (Math.Log(4) / Math.Log(10)), log.At(3)[0], 12);
        Assert.Equal(0.1 + (Math.Log(10) / Math.Log(10)), log.At(9)[0], 12);
        Assert.Equal(1.1, log.At(1000)[0], 12);
        var linear = Create("WarmupLR", """{"warmup_max_lr": "auto", "warmup_min_lr": "auto", "warmup_num_steps": "auto", "warmup_type": "linear"}""", 0.5, warmup: 4);
        Assert.Equal([0, 0, 0.125, 0.25, 0.375, 0.5, 0.5], new long[] { -1, 0, 1, 2, 3, 4, 5 }.Select(step => linear.At(step)[0]));
        // Two steps at least.
        Assert.Equal(Math.Log(2) / Math.Log(2), Create("WarmupLR", """{"warmup_max_lr": 1, "warmup_num_steps": 0}""", 1).At(1)[0], 12);
    }

    [Fact]
    public void WarmupDecayLR_falls_to_zero_at_the_end()
    {
        var schedule = Create("WarmupDecayLR", """{"warmup_max_lr": 0.2, "warmup_num_steps": 5, "total_num_steps": "auto", "warmup_type": "linear"}""", 1, total: 25);
        Assert.Equal([0.04, 0.2, 0.1, 0, 0], new long[] { 1, 5, 15, 25, 30 }.Select(step => Math.Round(schedule.At(step)[0], 12)));
    }

    [Fact]
    public void WarmupCosineLR_is_a_share_of_each_groups_rate()
    {
        var schedule = Create("WarmupCosineLR", """{"total_num_steps": 12, "warmup_num_steps": 2, "warmup_min_ratio": 0.5, "cos_min_ratio": 0.1, "warmup_type": "linear"}""", 2, 4);
        Assert.Equal([0.0, 0.0], schedule.At(-1));
        Assert.Equal([1.0, 2.0], schedule.At(0));
        Assert.Equal([1.5, 3.0], schedule.At(1));
        var half = 0.1 + (0.9 * (1 + Math.Cos(Math.PI * 5 / 10)) / 2);
        Assert.Equal(2 * half, schedule.At(6)[0], 12);
        Assert.Equal(4 * half, schedule.At(6)[1], 12);
        Assert.Equal(0.2, schedule.At(11)[0], 12);
        Assert.Equal(0.2, schedule.At(500)[0], 12);
    }

    [Fact]
    public void What_only_the_program_knows_must_be_said_and_agree()
    {
        Assert.Contains("totalNumSteps", Assert.Throws<ArgumentException>(() => Create("WarmupDecayLR", """{"total_num_steps": "auto"}""", 1)).Message, StringComparison.Ordinal);
        var error = Assert.Throws<ArgumentException>(() => Create("WarmupDecayLR", """{"total_num_steps": 10, "warmup_num_steps": 2}""", 1, total: 20, warmup: 3)).Message;
        Assert.Contains("total_num_steps is 10", error, StringComparison.Ordinal);
        Assert.Contains("warmup_num_steps is 2", error, StringComparison.Ordinal);
    }

    private static WarmupSchedule Create(string type, string parameters, double rate, double? second = null, long? total = null, long? warmup = null)
    {
        var config = DsConfig.Parse(new JsonObject { ["scheduler"] = new JsonObject { ["type"] = type, ["params"] = JsonNode.Parse(parameters) } }.ToJsonString(), "the test");
        return WarmupSchedule.Create(config, second is { } other ? [rate, other] : [rate], total, warmup);
    }
}

namespace AccelerateSharp.Cli.Tests.Help;

public sealed class HelpTests
{
    [Theory]
    [InlineData]
    [InlineData("launch")]
    [InlineData("env")]
    [InlineData("test")]
    public async Task A_page_fits_80_columns_and_spells_options_with_underscores(params string[] command)
    {
        var (code, output, _) = await Tool.RunAsync([.. command, "--help"]);
        Assert.Equal(0, code);
        Assert.All(output, line => Assert.True(line.Length <= 80, line));
        Assert.All(output, line => Assert.Equal(line.TrimEnd(), line));
        Assert.DoesNotContain(output, line => line.Contains("--num-", StringComparison.Ordinal) || line.Contains("--config-", StringComparison.Ordinal));
        Assert.Contains("Usage:", output);
        Assert.Contains(output, line => line.StartsWith("  -h, --help", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Groups_of_other_paradigms_are_left_out_where_one_was_chosen()
    {
        var (_, all, _) = await Tool.RunAsync("launch", "--help");
        var (code, fsdp, _) = await Tool.RunAsync("launch", "--use_fsdp", "-h");
        Assert.Equal(0, code);
        foreach (var heading in (string[])["FSDP:", "DeepSpeed:", "FP8 (--mixed_precision fp8):", "Parallelism configuration:", "torch.compile (accepted, without effect):"])
        {
            Assert.Contains(heading, all);
            Assert.Equal(heading == "FSDP:", fsdp.Contains(heading));
        }
        Assert.Contains("Processes and devices:", fsdp);
        Assert.Contains(fsdp, line => line.StartsWith("  --use_fsdp ", StringComparison.Ordinal) && line.EndsWith("(currently selected)", StringComparison.Ordinal));
        Assert.DoesNotContain(all, line => line.Contains("currently selected", StringComparison.Ordinal));
        var (_, fp8, _) = await Tool.RunAsync("launch", "--fp8-backend", "te", "--help");
        Assert.Contains("FP8 (--mixed_precision fp8):", fp8);
        Assert.DoesNotContain("FSDP:", fp8);
    }

    [Fact]
    public async Task Options_are_in_groups()
    {
        var (_, output, _) = await Tool.RunAsync("launch", "--help");
        var devices = Array.IndexOf(output, "Processes and devices:");
        var machines = Array.IndexOf(output, "Several machines:");
        var rest = Array.IndexOf(output, "Options:");
        var processes = Array.FindIndex(output, line => line.StartsWith("  --num_processes N ", StringComparison.Ordinal));
        var rank = Array.FindIndex(output, line => line.StartsWith("  --machine_rank N ", StringComparison.Ordinal));
        Assert.True(devices >= 0 && devices < processes && processes < machines && machines < rank && rank < rest, string.Join('\n', output));
    }
}

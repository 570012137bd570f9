using System.Globalization;
using System.Text.RegularExpressions;

namespace AccelerateSharp.Cli.Tests.Launch;

/// <summary>The examples as a reader runs them, for a few steps: two processes compute what one does with the same batches.</summary>
public sealed partial class ExampleTests
{
    // artifacts/bin/PROJECT/CONFIGURATION/
    private static readonly string _root = Path.GetFullPath("../../../..", AppContext.BaseDirectory);

    [GeneratedRegex(@"epoch\s+1: training loss ([\d.]+), accuracy ([\d.]+) %")]
    private static partial Regex Results();

    [Theory]
    [InlineData("text-classification.cs", "amazon-reviews", "--epochs 1 --steps 5 --dropout 0 --width 32 --layers 1 --max_length 24", 16)]
    [InlineData("image-classification.cs", "fashion-mnist", "--images 640 --test_images 200 --steps 5 --width 16 --layers 1", 32)]
    public async Task Two_processes_learn_what_one_does(string example, string data, string options, int batch)
    {
        Assert.SkipUnless(Directory.Exists(Path.Combine(_root, "data", data)), $"data/{data} is missing: scripts/setup.sh fetches it.");
        var (oneLoss, oneAccuracy) = await RunAsync(example, options, processes: 1, batch);
        var (twoLoss, twoAccuracy) = await RunAsync(example, options, processes: 2, batch / 2);
        Assert.Equal(oneLoss, twoLoss, 2e-4);
        Assert.Equal(oneAccuracy, twoAccuracy, 0.6);
    }

    [Fact]
    public async Task At_a_terminal_only_the_main_process_shows_a_progress_bar()
    {
        Assert.SkipUnless(Directory.Exists(Path.Combine(_root, "data", "fashion-mnist")), "data/fashion-mnist is missing: scripts/setup.sh fetches it.");
        Assert.SkipUnless(File.Exists("/usr/bin/script"), "there is no util-linux script to make a terminal with");
        var example = Path.Combine(_root, "examples", "image-classification.cs");
        using var tool = Tool.StartAtTerminal($"NO_COLOR=1 '{Tool.Path}' launch --cpu --num_processes 2 '{example}' --images 128 --test_images 64 --width 16 --layers 1 --batch 16");
        Assert.Equal(0, await tool.EndAsync());
        var bars = tool.Output.SelectMany(line => line.Split('\r')).Where(line => line.Contains("steps, ", StringComparison.Ordinal)).ToList();
        Assert.Contains(bars, bar => bar.Contains("100 % [####################] 4/4 steps, ", StringComparison.Ordinal));
        Assert.All(bars, bar => Assert.Contains("[rank 0] ", bar, StringComparison.Ordinal));
    }

    private static async Task<(double Loss, double Accuracy)> RunAsync(string example, string options, int processes, int batch)
    {
        string[] arguments = ["launch", "--cpu", "--num_processes", $"{processes}", Path.Combine(_root, "examples", example), .. options.Split(' '), "--batch", $"{batch}"];
        var (exitCode, output, error) = await Tool.RunAsync(arguments);
        Assert.True(exitCode == 0, string.Join('\n', [.. output, .. error]));
        // No terminal, no progress bar.
        Assert.DoesNotContain(output.Concat(error), line => line.Contains("% [", StringComparison.Ordinal));
        var results = Assert.Single(output.Select(line => Results().Match(line)), match => match.Success);
        return (double.Parse(results.Groups[1].ValueSpan, CultureInfo.InvariantCulture), double.Parse(results.Groups[2].ValueSpan, CultureInfo.InvariantCulture));
    }
}

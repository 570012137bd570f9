using System.Diagnostics;

namespace AccelerateSharp.Cli.Tests;

/// <summary><c>accelerate config</c> as a person meets it: at a terminal, which tmux is, with menus and keys.</summary>
public sealed class TerminalTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate-tests-").FullName;

    [Fact]
    public async Task Menus_take_arrows_and_wrong_answers_are_asked_again()
    {
        Assert.SkipUnless(Environment.GetEnvironmentVariable("PATH")!.Split(':').Any(folder => File.Exists(Path.Combine(folder, "tmux"))), "tmux is not installed");
        var file = Path.Combine(_folder, "job.yaml");
        await TmuxAsync("new-session", "-d", "-x", "90", "-y", "30", $"'{Tool.Path}' config --config_file '{file}'; echo exit code $?; exec sleep 1000");
        await SeeAsync("Which kind of machine are you using?", "> No distributed training", "  multi-CPU");
        await TypeAsync("Down", "Enter");
        // The menu is gone; what was chosen stays.
        await SeeAsync("Which kind of machine are you using? multi-CPU", "How many machines will you use?");
        await TypeAsync("0", "Enter");
        await SeeAsync("How many machines will you use? (1): 0", "0 is below 1.");
        await TypeAsync("Enter");
        await SeeAsync("each collective operation checked", "(yes/no) (no):");
        await TypeAsync("yes", "Enter");
        await SeeAsync("(yes/no) (no): yes", "with mpirun?");
        await TypeAsync("Enter");
        await SeeAsync("How many processes do you want to run?");
        await TypeAsync("4", "Enter");
        await SeeAsync("Which mixed precision do you want to use?", "> no");
        await TypeAsync("Down", "Down", "Enter");
        await SeeAsync("The configuration is saved in", "exit code 0");
        var written = await File.ReadAllLinesAsync(file, TestContext.Current.CancellationToken);
        foreach (var line in (string[])["debug: true", "distributed_type: MULTI_CPU", "mixed_precision: bf16", "num_processes: 4", "use_cpu: true"]) Assert.Contains(line, written);
    }

    [Fact]
    public async Task Ctrl_C_writes_nothing_and_gives_the_cursor_back()
    {
        Assert.SkipUnless(Environment.GetEnvironmentVariable("PATH")!.Split(':').Any(folder => File.Exists(Path.Combine(folder, "tmux"))), "tmux is not installed");
        var file = Path.Combine(_folder, "job.yaml");
        await TmuxAsync("new-session", "-d", "-x", "90", "-y", "30", $"trap : INT; '{Tool.Path}' config --config_file '{file}'; echo exit code $?; exec sleep 1000");
        await SeeAsync("Which kind of machine are you using?");
        await TypeAsync("C-c");
        await SeeAsync("exit code 130");
        Assert.Equal("1", (await TmuxAsync("display-message", "-p", "#{cursor_flag}")).Trim());
        Assert.False(File.Exists(file));
    }

    public void Dispose()
    {
        if (File.Exists(Path.Combine(_folder, "tmux"))) TmuxAsync("kill-server").GetAwaiter().GetResult();
        Directory.Delete(_folder, recursive: true);
    }

    private Task TypeAsync(params string[] keys) => TmuxAsync(["send-keys", .. keys]);

    /// <summary>Waits until the screen shows all of these.</summary>
    private async Task SeeAsync(params string[] texts)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (true)
        {
            var screen = await TmuxAsync("capture-pane", "-p");
            // Lines that the terminal has broken count as one.
            var joined = screen.ReplaceLineEndings(" ");
            if (texts.All(text => joined.Contains(text, StringComparison.Ordinal))) return;
            Assert.False(patience.IsCancellationRequested, $"not on the screen: {string.Join(" | ", texts.Where(text => !joined.Contains(text, StringComparison.Ordinal)))}\n{screen}");
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }
    }

    /// <summary>A server of its own: nothing of the user's configuration or sessions.</summary>
    private async Task<string> TmuxAsync(params string[] arguments)
    {
        var start = new ProcessStartInfo("tmux", ["-S", Path.Combine(_folder, "tmux"), "-f", "/dev/null", .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment.Remove("TMUX");
        start.Environment["LANG"] = "C.UTF-8";
        using var tmux = Process.Start(start)!;
        var error = tmux.StandardError.ReadToEndAsync(CancellationToken.None);
        var output = await tmux.StandardOutput.ReadToEndAsync(CancellationToken.None);
        await tmux.WaitForExitAsync(CancellationToken.None);
        Assert.True(tmux.ExitCode == 0 || arguments[0] == "kill-server", $"tmux {arguments[0]}: {await error}");
        return output;
    }
}

namespace AccelerateSharp.Cli.Tests;

/// <summary>The command line answers without the half gigabyte of libtorch.</summary>
public sealed class LoadedLibrariesTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate-loaded-").FullName;

    [Theory]
    [InlineData("--help")]
    [InlineData("launch", "--help")]
    [InlineData("env")]
    [InlineData("env", "--json")]
    [InlineData("launch", "--cpu", "--num_processes", "2", "true")]
    public async Task No_command_loads_libtorch(params string[] arguments)
    {
        // The dynamic linker itself writes down what it loads: a file for each process.
        var environment = new Dictionary<string, string> { ["LD_DEBUG"] = "files", ["LD_DEBUG_OUTPUT"] = Path.Combine(_folder, "loaded") };
        using var tool = Tool.Start(environment, arguments);
        Assert.Equal(0, await tool.EndAsync());
        var loaded = await File.ReadAllTextAsync(Path.Combine(_folder, $"loaded.{tool.Id}"), TestContext.Current.CancellationToken);
        Assert.Contains("libc.so", loaded, StringComparison.Ordinal);
        Assert.DoesNotContain("libtorch", loaded, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task A_running_launcher_has_mapped_nothing_of_torch()
    {
        var (code, output, _) = await Tool.RunAsync("launch", "--cpu", "--num_processes", "2", "sh", "-c", "cat /proc/$PPID/maps");
        Assert.Equal(0, code);
        Assert.Contains(output, line => line.EndsWith("/accelerate", StringComparison.Ordinal));
        Assert.DoesNotContain(output, line => line.Contains("libtorch", StringComparison.OrdinalIgnoreCase));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}

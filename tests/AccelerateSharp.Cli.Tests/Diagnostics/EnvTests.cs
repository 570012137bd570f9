using System.Text.Json;

namespace AccelerateSharp.Cli.Tests.Diagnostics;

public sealed class EnvTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate-env-").FullName;

    [Fact]
    public async Task The_report_names_what_an_issue_needs_and_no_secret()
    {
        var environment = new Dictionary<string, string>
        {
            ["HF_TOKEN"] = "hf_secret",
            ["ACCELERATE_RDZV_TOKEN"] = "job_secret",
            ["HF_ENDPOINT"] = "https://me:url_secret@hub.example/api",
            ["NCCL_DEBUG"] = "INFO",
            ["HF_HOME"] = _folder,
        };
        foreach (var arguments in new[] { new[] { "env" }, ["env", "--json"] })
        {
            var (code, output, error) = await Tool.RunAsync(environment, arguments);
            Assert.Equal(0, code);
            Assert.Empty(error);
            Assert.DoesNotContain(output, line => line.Contains("secret", StringComparison.Ordinal));
        }
        var (_, text, _) = await Tool.RunAsync(environment, "env");
        string[] names = ["AccelerateSharp:", "accelerate:", ".NET:", "System:", "CPU:", "Memory:", "NVIDIA driver:", "libtorch:", "TorchSharp:", "NCCL:", "Gloo:", "C++ library:", "Config:", "Variables:"];
        Assert.All(names, name => Assert.Contains(text, line => line.StartsWith(name, StringComparison.Ordinal)));
        Assert.Contains("    NCCL_DEBUG=INFO", text);
        Assert.Contains("    HF_TOKEN=(set, not shown)", text);
        Assert.Contains("    HF_ENDPOINT=https://***@hub.example/api", text);
    }

    [Fact]
    public async Task Json_holds_the_same_for_machines()
    {
        var (code, output, _) = await Tool.RunAsync("env", "--json");
        Assert.Equal(0, code);
        using var report = JsonDocument.Parse(string.Join('\n', output));
        var root = report.RootElement;
        Assert.Equal("0.1.0", root.GetProperty("versions").GetProperty("accelerate_sharp").GetString());
        Assert.True(root.GetProperty("system").GetProperty("memory_total").GetInt64() > 0);
        Assert.True(root.GetProperty("system").GetProperty("physical_cores").GetInt32() > 0);
        Assert.Equal(
            ["libtorch", "TorchSharp", "NCCL", "Gloo", "C++ library"],
            root.GetProperty("libraries").EnumerateArray().Select(library => library.GetProperty("name").GetString()));
    }

    [Fact]
    public async Task The_config_is_the_one_named_or_the_users_own()
    {
        var environment = new Dictionary<string, string> { ["HF_HOME"] = _folder };
        var (_, without, _) = await Tool.RunAsync(environment, "env");
        Assert.Contains(without, line => line.StartsWith("Config:", StringComparison.Ordinal) && line.EndsWith("does not exist)", StringComparison.Ordinal));

        var file = Path.Combine(_folder, "accelerate", "default_config.yaml");
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        await File.WriteAllTextAsync(file, "mixed_precision: bf16\nnum_processes: 8\n", TestContext.Current.CancellationToken);
        var (_, found, _) = await Tool.RunAsync(environment, "env");
        Assert.Contains("    num_processes: 8", found);

        var (code, named, _) = await Tool.RunAsync("env", "--config-file", file);
        Assert.Equal(0, code);
        Assert.Contains("    mixed_precision: bf16", named);

        var (failed, _, error) = await Tool.RunAsync("env", "--config_file", Path.Combine(_folder, "none.yaml"));
        Assert.Equal(1, failed);
        Assert.Contains("none.yaml", Assert.Single(error), StringComparison.Ordinal);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}

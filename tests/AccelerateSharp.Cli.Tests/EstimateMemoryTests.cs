using System.Text.Json;

namespace AccelerateSharp.Cli.Tests;

public sealed class EstimateMemoryTests : IDisposable
{
    private const string Bert =
        """{"architectures":["BertForMaskedLM"],"model_type":"bert","hidden_size":768,"num_hidden_layers":12,"num_attention_heads":12,"intermediate_size":3072,"vocab_size":28996,"max_position_embeddings":512,"type_vocab_size":2}""";

    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate-tests-").FullName;
    private readonly string _config;

    public EstimateMemoryTests()
    {
        _config = Path.Combine(_folder, "config.json");
        File.WriteAllText(_config, Bert);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("--dtypes", "float32", "float16")]
    [InlineData("--dtypes", "float32", "--dtypes=float16", "--trust-remote-code", "--library_name", "transformers")]
    public async Task The_table_of_the_reference_is_printed(params string[] options)
    {
        var (code, output, _) = await Tool.RunAsync(["estimate-memory", _config, .. options]);
        Assert.Equal(0, code);
        Assert.Equal(
            [["float32", "86.47 MB", "413.18 MB"], ["float16", "43.23 MB", "206.59 MB"],
                ["float32", "413.18 MB", "413.18 MB", "826.36 MB", "1.61 GB", "1.61 GB"], ["float16", "413.18 MB", "619.77 MB", "826.36 MB", "826.36 MB", "826.36 MB"]],
            output.Where(line => line.Contains("float", StringComparison.Ordinal)).Select(Cells));
        Assert.Equal(["MS-AMP O3", "1", "2", "1", "3", "7", "723.05 MB"], Cells(Assert.Single(output, line => line.Contains("MS-AMP O3", StringComparison.Ordinal))));
        Assert.All(output, line => Assert.True(line.Length <= 80, line));
    }

    [Fact]
    public async Task A_plan_is_printed_and_its_configuration_written()
    {
        var file = Path.Combine(_folder, "new", "plan.yaml");
        var (code, output, error) = await Tool.RunAsync("estimate-memory", _config, "--num-gpus=8", "--gpu_memory", "80", "--batch_size", "32", "--sequence-length",
            "512", "--write_config", file);
        Assert.Equal(0, code);
        foreach (var way in (string[])["one GPU", "DDP", "SHARD_GRAD_OP", "FULL_SHARD", "HYBRID_SHARD", "CPU offload"])
            Assert.Single(output, line => line.TrimStart().StartsWith(way, StringComparison.Ordinal));
        Assert.Equal(6, output.Count(line => line.Contains("  + checkpointing", StringComparison.Ordinal)));
        Assert.Contains(output, line => line == "The fastest that fits: DDP.");
        Assert.All(output, line => Assert.True(line.Length <= 80, line));
        Assert.Contains("distributed_type: MULTI_GPU", await File.ReadAllLinesAsync(file, TestContext.Current.CancellationToken));
        Assert.Single(error);
        Assert.Single(Directory.GetFiles(Path.GetDirectoryName(file)!));
    }

    [Fact]
    public async Task Json_holds_the_same_in_bytes()
    {
        var (code, output, error) = await Tool.RunAsync("estimate-memory", _config, "--json", "--gpu_memory", "24GB", "--lora_rank", "8", "--optimizer", "adamw_8bit");
        Assert.Equal(0, code);
        Assert.Empty(error);
        using var document = JsonDocument.Parse(string.Join('\n', output));
        var root = document.RootElement;
        Assert.Equal(433_249_280, root.GetProperty("dtypes")[0].GetProperty("total_size").GetInt64());
        Assert.Equal(4, root.GetProperty("dtypes").GetArrayLength());
        Assert.Equal(5, root.GetProperty("recipes").GetArrayLength());
        Assert.Equal(["one GPU", "one GPU", "CPU offload", "CPU offload"], root.GetProperty("plans").EnumerateArray().Select(plan => plan.GetProperty("strategy").GetString()));
        Assert.Single(root.GetProperty("plans").EnumerateArray(), plan => plan.GetProperty("fastest").GetBoolean());
    }

    [Fact]
    public async Task Where_nothing_fits_nothing_is_written()
    {
        var file = Path.Combine(_folder, "plan.yaml");
        var (code, output, error) = await Tool.RunAsync("estimate-memory", _config, "--gpu_memory", "1GiB", "--write_config", file);
        Assert.Equal(1, code);
        Assert.Contains(output, line => line.StartsWith("Nothing fits", StringComparison.Ordinal));
        Assert.Contains("No plan fits", Assert.Single(error), StringComparison.Ordinal);
        Assert.False(File.Exists(file));
    }

    [Fact]
    public async Task Damaged_weights_are_told_of_in_one_line()
    {
        var file = Path.Combine(_folder, "model.safetensors");
        await File.WriteAllBytesAsync(file, [255, 255, 0, 0, 0, 0, 0, 0, (byte)'{'], TestContext.Current.CancellationToken);
        var (code, _, error) = await Tool.RunAsync("estimate-memory", file);
        Assert.Equal(1, code);
        Assert.Contains("goes beyond the end of the file", Assert.Single(error), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("needs --gpu_memory", "config", "--num_gpus", "8")]
    [InlineData("no amount of memory", "config", "--gpu_memory", "much")]
    [InlineData("cannot be spread evenly", "config", "--gpu_memory", "80", "--num_gpus", "8", "--num_machines", "3")]
    [InlineData("512 positions", "config", "--gpu_memory", "80", "--sequence_length", "513")]
    [InlineData("HF_HUB_OFFLINE is set", "org/net")]
    [InlineData("no file or folder", "./none")]
    public async Task What_makes_no_sense_is_told_of_in_one_line(string expected, string model, params string[] options)
    {
        var environment = new Dictionary<string, string> { ["HF_HUB_OFFLINE"] = "1", ["HF_HOME"] = _folder };
        using var tool = Tool.Start(environment, ["estimate-memory", model == "config" ? _config : model, .. options]);
        Assert.Equal(1, await tool.EndAsync());
        Assert.Contains(expected, Assert.Single(tool.Error), StringComparison.Ordinal);
        Assert.Empty(tool.Output);
    }

    [Fact]
    public async Task Help_fits_a_terminal()
    {
        var (code, output, _) = await Tool.RunAsync("estimate-memory", "--help");
        Assert.Equal(0, code);
        Assert.Contains(output, line => line.Contains("--write_config", StringComparison.Ordinal));
    }

    private static string[] Cells(string line) => [.. line.Split('│', StringSplitOptions.RemoveEmptyEntries).Select(cell => cell.Trim()).Where(cell => cell.Length > 0)];
}

namespace AccelerateSharp.Cli.Tests;

/// <summary>What the tool writes on a disk that is full: nothing half, nothing left over, and the file of before as it was.</summary>
public sealed class FullDiskTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate-tests-").FullName;

    [Theory]
    [InlineData("config update --config_file DISK/job.yaml", "distributed_type: NO", "job.yaml' cannot be written: No space left")]
    [InlineData("config default --config_file DISK/new/job.yaml", "", "No space left")]
    [InlineData("estimate-memory FOLDER/config.json --gpu_memory 80 --write_config DISK/job.yaml", "mixed_precision: bf16", "No space left")]
    public async Task A_full_disk_is_an_error_and_leaves_everything_as_it_was(string command, string before, string expected)
    {
        await File.WriteAllTextAsync(Path.Combine(_folder, "config.json"), """{"model_type":"gpt2","n_embd":64,"n_layer":2,"n_head":2,"n_positions":1024,"vocab_size":100}""", TestContext.Current.CancellationToken);
        var disk = Directory.CreateDirectory(Path.Combine(_folder, "disk")).FullName;
        // A file system of four pages, without any rights: one for the old file, the rest filled up.
        var script = $"mount -t tmpfs -o size=16k none {disk} || {{ echo refused; exit 99; }}; printf '%s\\n' '{before}' > {disk}/job.yaml; mkdir {disk}/new; head -c 65536 /dev/zero > {disk}/fill 2>/dev/null; "
            + $"\"$0\" {command.Replace("DISK", disk, StringComparison.Ordinal).Replace("FOLDER", _folder, StringComparison.Ordinal)}; code=$?; echo content $(cat {disk}/job.yaml); echo files $(cd {disk} && find . -type f | sort); exit $code";
        using var tool = Tool.StartInShell($"exec unshare -Urm sh -c '{script.Replace("'", @"'\''", StringComparison.Ordinal)}' \"$0\" || exit 99");
        var code = await tool.EndAsync();
        Assert.SkipWhen(tool.Output.Contains("refused") || tool.Error.Any(line => line.StartsWith("unshare:", StringComparison.Ordinal)), "this system lets nobody mount a file system of their own");
        Assert.NotEqual(0, code);
        Assert.Contains(tool.Error, line => line.Contains(expected, StringComparison.Ordinal));
        Assert.DoesNotContain(tool.Error, line => line.StartsWith("   at ", StringComparison.Ordinal));
        Assert.Contains($"content {before}".TrimEnd(), tool.Output);
        Assert.Contains("files ./fill ./job.yaml", tool.Output);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}

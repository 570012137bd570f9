namespace AccelerateSharp.Cli.Tests.Launch;

/// <summary>Every kind of target, started twice.</summary>
public sealed class TargetTests : IDisposable
{
    private const string Program = """
        System.Console.WriteLine($"{System.Environment.GetEnvironmentVariable("RANK")} of {System.Environment.GetEnvironmentVariable("WORLD_SIZE")} {args[0]}");
        """;

    private const string Project = """
        <Project Sdk="Microsoft.NET.Sdk">
          <PropertyGroup>
            <OutputType>Exe</OutputType>
            <TargetFramework>net10.0</TargetFramework>
          </PropertyGroup>
        </Project>
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate tests ").FullName;

    [Fact]
    public Task A_single_file_program() => AssertRunsTwiceAsync(Write("train it.cs", Program));

    [Fact]
    public async Task A_project_and_its_folder_and_what_was_built()
    {
        var project = Write("Train.csproj", Project);
        Write("Train.cs", Program);
        await AssertRunsTwiceAsync(project);
        await AssertRunsTwiceAsync(_folder);
        await AssertRunsTwiceAsync(Path.Combine(_folder, "bin", "Release", "net10.0", "Train.dll"));
    }

    [Fact]
    public async Task A_script()
    {
        var script = Write("train.sh", "#!/bin/sh\necho $RANK of $WORLD_SIZE $1\n");
        var (code, _, error) = await Tool.RunAsync("launch", "--cpu", "--num_processes", "2", script, "x");
        Assert.Equal(1, code);
        Assert.Contains("chmod +x", error[^1], StringComparison.Ordinal);
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        await AssertRunsTwiceAsync(script);
    }

    [Fact]
    public async Task What_does_not_build_is_shown_and_not_started()
    {
        var (code, output, error) = await Tool.RunAsync("launch", "--cpu", "--num_processes", "2", Write("broken.cs", "this is no program"), "x");
        Assert.Equal(1, code);
        Assert.Contains(error, line => line.Contains("broken.cs(1,", StringComparison.Ordinal) && line.Contains("error CS", StringComparison.Ordinal));
        Assert.Empty(output);
    }

    [Fact]
    public async Task A_link_to_nothing_is_no_program()
    {
        var link = Path.Combine(_folder, "train");
        File.CreateSymbolicLink(link, "gone");
        var (code, _, error) = await Tool.RunAsync("launch", "--cpu", link);
        Assert.Equal(1, code);
        Assert.StartsWith($"accelerate: There is no file, project folder or program '{link}'.", error[^1], StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_library_is_no_program()
    {
        var (code, _, error) = await Tool.RunAsync("launch", "--cpu", typeof(FactAttribute).Assembly.Location);
        Assert.Equal(1, code);
        Assert.Contains("library", error[^1], StringComparison.Ordinal);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static async Task AssertRunsTwiceAsync(string target)
    {
        var (code, output, error) = await Tool.RunAsync("launch", "--cpu", "--num_processes", "2", target, "argument");
        Assert.True(code == 0, string.Join('\n', error));
        Assert.Equal(["[rank 0] 0 of 2 argument", "[rank 1] 1 of 2 argument"], output.Order());
    }

    private string Write(string name, string text)
    {
        var path = Path.Combine(_folder, name);
        File.WriteAllText(path, text);
        return path;
    }
}

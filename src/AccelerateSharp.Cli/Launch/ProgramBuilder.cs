using System.Diagnostics;
using System.Text.Json;

namespace AccelerateSharp.Cli.Launch;

/// <summary>Builds a project or a single-file program once, in the Release configuration, and finds what was built.</summary>
internal static class ProgramBuilder
{
    /// <param name="dotnet">The .NET SDK's program.</param>
    /// <param name="project">The project, or the single file.</param>
    /// <param name="build">False only asks where the program would be.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The assembly.</returns>
    public static string Build(string dotnet, string project, bool build, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(
            dotnet, ["build", project, "-c", "Release", .. (build ? (string[])["-t:Build"] : []), "-getProperty:TargetPath", "-getProperty:OutputType", "-getProperty:TargetFrameworks"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // Build nodes that stay behind would be processes that this launch leaves running.
        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        start.Environment["DOTNET_NOLOGO"] = "1";
        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        using var giveUp = cancellationToken.Register(() => process.Kill(entireProcessTree: true));
        var errors = process.StandardError.ReadToEndAsync(CancellationToken.None);
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        if (cancellationToken.IsCancellationRequested) return project;
        if (process.ExitCode != 0)
        {
            Console.Error.Write(output);
            Console.Error.Write(errors.GetAwaiter().GetResult());
            throw new UserErrorException($"'{project}' does not build (exit code {process.ExitCode}); nothing was started.");
        }
        using var answer = Parse(output, project);
        var properties = answer.RootElement.GetProperty("Properties");
        var assembly = properties.GetProperty("TargetPath").GetString();
        if (string.IsNullOrEmpty(assembly))
            throw new UserErrorException(
                $"'{project}' builds for several frameworks ({properties.GetProperty("TargetFrameworks").GetString()}). Launch the .dll of one of them.");
        if (properties.GetProperty("OutputType").GetString() is not ("Exe" or "WinExe"))
            throw new UserErrorException($"'{project}' is a library, not a program. Set its OutputType to Exe.");
        return assembly;
    }

    private static JsonDocument Parse(string output, string project)
    {
        // A build may print lines of its own before the answer.
        var start = output.IndexOf('{', StringComparison.Ordinal);
        try
        {
            return JsonDocument.Parse(start < 0 ? "" : output[start..]);
        }
        catch (JsonException)
        {
            throw new UserErrorException($"'{project}' was built, but the build did not tell where the program is. It said:\n{output}");
        }
    }
}

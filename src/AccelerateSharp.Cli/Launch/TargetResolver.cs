using System.Runtime.InteropServices;

namespace AccelerateSharp.Cli.Launch;

/// <summary>Turns what the user named into something that can be started, building it where needed.</summary>
internal static class TargetResolver
{
    private const UnixFileMode AnyExecute = UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    private static readonly string[] _built = [".cs", ".csproj", ".fsproj", ".vbproj", ".dll"];

    /// <summary>A <c>.cs</c> file, a project or its folder, a <c>.dll</c>, an executable file, or the name of a program on the PATH.</summary>
    /// <param name="target">What the user named.</param>
    /// <param name="arguments">The arguments of the program.</param>
    /// <param name="isProgram">Whether the target has to be a program as it stands.</param>
    /// <param name="cancellationToken">Gives up building.</param>
    /// <param name="build">False only asks where a project's program would be.</param>
    public static Target Resolve(string target, IReadOnlyList<string> arguments, bool isProgram, CancellationToken cancellationToken, bool build = true)
    {
        if (isProgram && (Directory.Exists(target) || _built.Contains(Path.GetExtension(target).ToLowerInvariant())))
            throw new UserErrorException($"--no_python runs a program as it stands, and '{target}' is none. Leave out --no_python: it is then built, and run by `dotnet`.");
        if (Directory.Exists(target)) return Built(ProjectIn(target));
        if (!IsThere(target))
        {
            return !target.Contains(Path.DirectorySeparatorChar, StringComparison.Ordinal) && OnPath(target) is { } program
                ? new Target(program, arguments)
                : throw new UserErrorException($"There is no file, project folder or program '{target}'. The target comes first, then its arguments.");
        }
        var path = Path.GetFullPath(target);
        return Path.GetExtension(path).ToLowerInvariant() switch
        {
            ".cs" or ".csproj" or ".fsproj" or ".vbproj" => Built(path),
            ".dll" => Managed(path, arguments),
            ".py" when !IsExecutable(path) => throw new UserErrorException($"'{target}' is a Python program. AccelerateSharp launches .NET programs, and whatever is executable: make it so (chmod +x), or name its interpreter first."),
            _ when IsExecutable(path) => new Target(path, arguments),
            _ => throw new UserErrorException(
                $"'{target}' is neither a .cs file, a project, a .dll nor an executable. If it is a script, make it executable (chmod +x), or launch its interpreter with it as argument."),
        };

        Target Built(string project)
        {
            var dotnet = DotnetHost();
            var assembly = ProgramBuilder.Build(dotnet, project, build, cancellationToken);
            return build ? Managed(assembly, arguments) : new Target(dotnet, [assembly, .. arguments]);
        }
    }

    private static Target Managed(string assembly, IReadOnlyList<string> arguments)
    {
        if (!File.Exists(Path.ChangeExtension(assembly, ".runtimeconfig.json")))
            throw new UserErrorException($"'{assembly}' is a library, not a program: it has no .runtimeconfig.json beside it. Launch a project whose OutputType is Exe.");
        return new Target(DotnetHost(), [assembly, .. arguments]);
    }

    private static string ProjectIn(string folder)
    {
        var projects = Directory.GetFiles(folder, "*.*proj");
        return projects.Length == 1 ? Path.GetFullPath(projects[0]) : throw new UserErrorException(
            projects.Length == 0 ? $"The folder '{folder}' holds no project." : $"The folder '{folder}' holds {projects.Length} projects. Name one of them.");
    }

    private static string DotnetHost() =>
        Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } host && File.Exists(host) ? host
        : OnPath("dotnet")
        ?? throw new UserErrorException("There is no `dotnet` on the PATH. Install the .NET SDK, or put it on the PATH.");

    public static string? OnPath(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Select(folder => Path.Combine(folder, program)).FirstOrDefault(path => IsThere(path) && IsExecutable(path));

    /// <summary>A link to nothing is no file.</summary>
    private static bool IsThere(string path) => File.Exists(path) && File.ResolveLinkTarget(path, returnFinalTarget: true) is not { Exists: false };

    private static bool IsExecutable(string path) =>
        RuntimeInformation.IsOSPlatform(OSPlatform.Windows) || (File.GetUnixFileMode(path) & AnyExecute) != 0;
}

using System.Text.Json.Serialization;

namespace AccelerateSharp.Cli.Diagnostics;

/// <summary>What <c>accelerate env</c> tells, in the shape in which <c>--json</c> prints it. Sizes are in bytes.</summary>
internal sealed record EnvironmentReport
{
    public required VersionFacts Versions { get; init; }

    public required SystemFacts System { get; init; }

    public required IReadOnlyList<GpuFacts> Gpus { get; init; }

    public required DriverFacts Driver { get; init; }

    public required IReadOnlyList<LibraryFacts> Libraries { get; init; }

    public required ConfigFacts Config { get; init; }

    /// <summary>Environment variables that change what this project or its engines do; secrets are not shown.</summary>
    public required IReadOnlyDictionary<string, string> Variables { get; init; }

    /// <summary>What will give trouble, each with the way out.</summary>
    public required IReadOnlyList<string> Warnings { get; init; }
}

/// <param name="AccelerateSharp">Version of this tool.</param>
/// <param name="Tool">Path of the tool's program.</param>
/// <param name="IsCompiledAheadOfTime">Whether the tool is machine code; otherwise it runs on the .NET runtime.</param>
/// <param name="Runtime">The .NET that the tool runs on or was compiled with.</param>
/// <param name="DotnetRoot">The installation that programs will run on; null without one.</param>
/// <param name="Sdks">Its SDKs.</param>
/// <param name="Runtimes">Its runtimes.</param>
internal sealed record VersionFacts(
    string AccelerateSharp, string? Tool, bool IsCompiledAheadOfTime, string Runtime, string? DotnetRoot, IReadOnlyList<string> Sdks, IReadOnlyList<string> Runtimes);

/// <param name="Name">The operating system with its version.</param>
/// <param name="Kernel">The kernel's version.</param>
/// <param name="Architecture">The processor architecture of this process.</param>
/// <param name="Cpu">The processor's model.</param>
/// <param name="PhysicalCores">Cores that this process may use, without hyper-threads.</param>
/// <param name="LogicalCores">Processors that this process may use.</param>
/// <param name="MemoryTotal">Memory of the machine.</param>
/// <param name="MemoryAvailable">Memory that can be had without swapping.</param>
/// <param name="MemoryLimit">What this process may use: below the total in a container with a limit.</param>
internal sealed record SystemFacts(
    string Name, string Kernel, string Architecture, string Cpu, int PhysicalCores, int LogicalCores, long MemoryTotal, long MemoryAvailable, long MemoryLimit);

/// <param name="Index">Number of the GPU, as the driver counts.</param>
/// <param name="Name">Its model.</param>
/// <param name="MemoryTotal">Its memory; null where only the driver's files were read.</param>
/// <param name="MemoryFree">What is free of it.</param>
/// <param name="ComputeCapability">For instance 9.0.</param>
/// <param name="Uuid">Its unique name.</param>
internal sealed record GpuFacts(int Index, string Name, long? MemoryTotal, long? MemoryFree, string? ComputeCapability, string? Uuid);

/// <param name="Version">The NVIDIA driver's version; null without one.</param>
/// <param name="Cuda">The newest CUDA that it runs.</param>
/// <param name="Source">Where this was read.</param>
internal sealed record DriverFacts(string? Version, string? Cuda, string Source);

/// <param name="Name">The library.</param>
/// <param name="Path">The file that programs will use; null where none was found.</param>
/// <param name="Version">Its version, where the file or its folder tells.</param>
/// <param name="Note">What else there is to know, above all how to get it.</param>
internal sealed record LibraryFacts(string Name, string? Path, string? Version, string? Note);

/// <param name="Path">The file.</param>
/// <param name="Content">Its text; null where there is no such file.</param>
internal sealed record ConfigFacts(string Path, string? Content);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, WriteIndented = true)]
[JsonSerializable(typeof(EnvironmentReport))]
internal sealed partial class EnvironmentJson : JsonSerializerContext;

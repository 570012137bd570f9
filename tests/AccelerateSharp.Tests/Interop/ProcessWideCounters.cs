namespace AccelerateSharp.Tests.Interop;

/// <summary>For tests that count live tensors or nodes of the whole process: they run while no other test does.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class ProcessWideCounters
{
    public const string Name = "Process-wide counters";
}

namespace AccelerateSharp.Internal.Interop;

/// <summary>The places where NCCL may lie, in the order in which they are looked at.</summary>
/// <remarks>
/// <c>ACCELERATE_NCCL</c> (the file or its folder), then the PyTorch installation that <c>ACCELERATE_LIBTORCH</c> names
/// (<c>site-packages/nvidia/nccl/lib</c>), and last the name alone, which the dynamic linker looks up.
/// </remarks>
internal static class NcclSearch
{
    internal const string File = "libnccl.so.2";

    internal const string OverrideVariable = "ACCELERATE_NCCL";

    internal static IEnumerable<string> Candidates() => Candidates(
        Environment.GetEnvironmentVariable(OverrideVariable), Environment.GetEnvironmentVariable(NativeSearch.OverrideVariable));

    /// <summary>Where the library may lie, given the two settings; the last is the name for the dynamic linker.</summary>
    internal static IEnumerable<string> Candidates(string? nccl, string? libtorch)
    {
        if (!string.IsNullOrEmpty(nccl))
        {
            yield return nccl.Contains(".so", StringComparison.Ordinal) ? nccl : Path.Combine(nccl, File);
            yield break;
        }

        if (!string.IsNullOrEmpty(libtorch))
        {
            yield return Path.Combine(libtorch, File);
            yield return Path.GetFullPath(Path.Combine(libtorch, "..", "..", "nvidia", "nccl", "lib", File));
        }

        yield return File;
    }
}

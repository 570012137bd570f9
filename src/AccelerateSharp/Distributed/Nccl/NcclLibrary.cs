using System.Runtime.InteropServices;
using AccelerateSharp.Internal.Interop;

namespace AccelerateSharp.Distributed.Nccl;

/// <summary>Finds <c>libnccl.so.2</c> and turns its results into exceptions.</summary>
/// <remarks><see cref="NcclSearch"/> says where it is looked for; the name alone is also what libtorch brought into the process.</remarks>
internal static unsafe class NcclLibrary
{
    /// <summary>2.10 brought the average.</summary>
    private const int OldestVersion = 21000;

    private static readonly Lazy<string?> _whyNot = new(Load);

    internal static bool IsAvailable => _whyNot.Value is null;

    /// <summary>Why <see cref="IsAvailable"/> is false, with all that was tried; null where it is true.</summary>
    internal static string? WhyUnavailable => _whyNot.Value;

    /// <summary>For instance 2.27.7.</summary>
    internal static Version Version
    {
        get
        {
            Check(NcclNative.ncclGetVersion(out var code), nameof(NcclNative.ncclGetVersion));
            return new Version(code / 10000, code / 100 % 100, code % 100);
        }
    }

    /// <exception cref="NcclException"><paramref name="result"/> is not success.</exception>
    internal static void Check(NcclResult result, string call, nint communicator = 0)
    {
        if (result != NcclResult.Success) throw new NcclException(call, result, Describe(result, communicator));
    }

    /// <summary>The error's text and, where NCCL kept one, the last warning that led to it.</summary>
    internal static string Describe(NcclResult result, nint communicator)
    {
        var text = Marshal.PtrToStringUTF8((nint)NcclNative.ncclGetErrorString(result));
        var last = Marshal.PtrToStringUTF8((nint)NcclNative.ncclGetLastError(communicator));
        return string.IsNullOrWhiteSpace(last) ? $"{text}" : $"{text} ({last.Trim()})";
    }

    private static string? Load()
    {
        var tried = new List<string>();
        foreach (var candidate in NcclSearch.Candidates())
        {
            tried.Add(candidate);
            if (!NativeLibrary.TryLoad(candidate, out var handle)) continue;
            NativeLibraries.Register("nccl", handle);
            Check(NcclNative.ncclGetVersion(out var version), nameof(NcclNative.ncclGetVersion));
            return version >= OldestVersion ? null : $"{candidate} is NCCL {Version}; 2.10 or newer is needed";
        }

        return $"{NcclNative.Library} was not found (tried: {string.Join(", ", tried)}); set ACCELERATE_NCCL to its folder";
    }
}

/// <summary>A call of NCCL failed.</summary>
internal sealed class NcclException(string call, NcclResult result, string description) : Exception($"{call} failed: {description} (NCCL result {(int)result})")
{
    internal NcclResult Result { get; } = result;
}

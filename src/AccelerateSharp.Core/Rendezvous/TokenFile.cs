using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace AccelerateSharp.Rendezvous;

/// <summary>Passes the token between workers of one machine that share nothing but the user who runs them.</summary>
/// <remarks>A file that only this user can read. One that belongs to somebody else, or that others can read, is not trusted.</remarks>
internal static partial class TokenFile
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Writes the file in one step: it is never there half.</summary>
    public static void Write(int port, string token)
    {
        var path = PathOf(port);
        var fresh = $"{path}.{Environment.ProcessId}";
        File.Delete(fresh);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = OwnerOnly;
        using (var file = new FileStream(fresh, options)) file.Write(Encoding.ASCII.GetBytes(token));
        File.Move(fresh, path, overwrite: true);
    }

    /// <summary>The token, or null while the file is not there.</summary>
    /// <exception cref="RendezvousException">The file is not this user's own.</exception>
    public static string? TryRead(int port)
    {
        var path = PathOf(port);
        try
        {
            using var handle = File.OpenHandle(path);
            if (OwnershipProblem(handle) is { } problem)
                throw new RendezvousException($"The token file {path} {problem}, so it is not trusted. Remove it, or set ACCELERATE_RDZV_TOKEN for all workers.");
            var bytes = new byte[256];
            return Encoding.ASCII.GetString(bytes, 0, RandomAccess.Read(handle, bytes, 0));
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (UnauthorizedAccessException e)
        {
            throw new RendezvousException($"The token file {path} belongs to another user. Choose another MASTER_PORT, or set ACCELERATE_RDZV_TOKEN for all workers.", e);
        }
    }

    public static void Delete(int port) => File.Delete(PathOf(port));

    /// <summary>The file of the job at this port: in the user's runtime folder, or else among the temporary files.</summary>
    public static string PathOf(int port)
    {
        var folder = Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") is { Length: > 0 } runtime && Directory.Exists(runtime)
            ? runtime
            : Path.GetTempPath();
        return Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"accelerate-{Environment.UserName}-{port}.token"));
    }

    private static unsafe string? OwnershipProblem(SafeFileHandle handle)
    {
        if (OperatingSystem.IsWindows()) return null;
        if ((File.GetUnixFileMode(handle) & ~OwnerOnly) != 0) return "can be read by others than its owner";
        if (!OperatingSystem.IsLinux()) return null;
        // .NET does not tell the owner. The layout of statx is the same on every architecture; stx_uid is at byte 20.
        const int AtEmptyPath = 0x1000, StatxUid = 0x8;
        var buffer = stackalloc byte[256];
        if (StatX((int)handle.DangerousGetHandle(), "", AtEmptyPath, StatxUid, buffer) != 0)
            return $"cannot be examined (error {Marshal.GetLastPInvokeError()})";
        return *(uint*)(buffer + 20) == GetEffectiveUser() ? null : "belongs to another user";
    }

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int StatX(int directory, string path, int flags, uint mask, byte* buffer);

    [LibraryImport("libc", EntryPoint = "geteuid")]
    private static partial uint GetEffectiveUser();
}

using Microsoft.Win32.SafeHandles;

namespace AccelerateSharp.Safetensors;

/// <summary>A file that is there whole or not at all.</summary>
internal static class AtomicFile
{
    /// <summary>Writes beside the target, makes sure that it is on the disk, and renames it.</summary>
    public static void Write(string path, Action<SafeFileHandle> write)
    {
        var beside = $"{path}.{Guid.NewGuid():N}.part";
        try
        {
            using (var file = File.OpenHandle(beside, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None))
            {
                write(file);
                RandomAccess.FlushToDisk(file);
            }
            File.Move(beside, path, overwrite: true);
        }
        catch
        {
            File.Delete(beside);
            throw;
        }
    }
}

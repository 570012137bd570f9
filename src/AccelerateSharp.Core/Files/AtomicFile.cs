using System.Text;
using Microsoft.Win32.SafeHandles;

namespace AccelerateSharp.Files;

/// <summary>A file that is there whole or not at all.</summary>
internal static class AtomicFile
{
    /// <summary>Writes beside the target, makes sure that it is on the disk, and renames it. A link stays one: the file that it points to is replaced.</summary>
    /// <param name="path">The file, in a folder that exists.</param>
    /// <param name="write">Writes the content; where it fails, as on a full disk, the file stays what it was.</param>
    public static void Write(string path, Action<SafeFileHandle> write)
    {
        var target = new FileInfo(path).LinkTarget is null ? path : File.ResolveLinkTarget(path, returnFinalTarget: true)!.FullName;
        var beside = $"{target}.{Guid.NewGuid():N}.part";
        try
        {
            using (var file = File.OpenHandle(beside, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None))
            {
                write(file);
                RandomAccess.FlushToDisk(file);
            }
            File.Move(beside, target, overwrite: true);
        }
        catch
        {
            File.Delete(beside);
            throw;
        }
    }

    /// <summary>Writes a text in UTF-8.</summary>
    public static void Write(string path, string text) => Write(path, file => RandomAccess.Write(file, Encoding.UTF8.GetBytes(text), fileOffset: 0));
}

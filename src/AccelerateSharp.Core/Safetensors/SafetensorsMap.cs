using System.IO.MemoryMappedFiles;
using Microsoft.Win32.SafeHandles;

namespace AccelerateSharp.Safetensors;

/// <summary>A file mapped into memory, unmapped when its last holder lets go.</summary>
/// <remarks>Private to the process: who writes to the memory changes a copy of the page and never the file.</remarks>
internal sealed unsafe class SafetensorsMap
{
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private int _references = 1;

    public SafetensorsMap(SafeFileHandle file)
    {
        _file = MemoryMappedFile.CreateFromFile(file, null, 0, MemoryMappedFileAccess.CopyOnWrite, HandleInheritability.None, leaveOpen: true);
        _view = _file.CreateViewAccessor(0, 0, MemoryMappedFileAccess.CopyOnWrite);
        byte* pointer = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref pointer);
        Address = (nint)pointer + (nint)_view.PointerOffset;
    }

    /// <summary>Where the file's first byte is.</summary>
    public nint Address { get; }

    public void AddReference() => Interlocked.Increment(ref _references);

    public void Release()
    {
        if (Interlocked.Decrement(ref _references) != 0) return;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
    }
}

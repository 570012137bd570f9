using Microsoft.Win32.SafeHandles;

namespace AccelerateSharp.Safetensors;

/// <summary>An open safetensors file whose header has been checked: its bytes are read by position, or mapped into memory.</summary>
/// <remarks>
/// Positional reads are what loads a whole model fastest: a map brings each page by a fault of its own. The map is for what is read
/// seldom, or in part. Reads may come from many threads at once.
/// </remarks>
internal sealed class SafetensorsReader : IDisposable
{
    private readonly SafeFileHandle _file;
    private readonly Lock _mapLock = new();
    private SafetensorsMap? _map;

    private SafetensorsReader(string path, SafeFileHandle file, SafetensorsHeader header)
    {
        (Path, _file, Header) = (path, file, header);
    }

    public string Path { get; }

    public SafetensorsHeader Header { get; }

    /// <exception cref="SafetensorsException">The file is not what the format allows.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static SafetensorsReader Open(string path)
    {
        var file = File.OpenHandle(path, options: FileOptions.RandomAccess);
        try
        {
            return new SafetensorsReader(path, file, SafetensorsHeader.Read(file, path));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Reads a part of a tensor.</summary>
    /// <param name="tensor">One of <see cref="Header"/>.</param>
    /// <param name="offset">The first byte, counted from the tensor's own.</param>
    /// <param name="destination">Filled whole.</param>
    /// <exception cref="SafetensorsException">The file has become shorter since it was opened.</exception>
    public void Read(SafetensorsTensor tensor, long offset, Span<byte> destination)
    {
        if (offset < 0 || destination.Length > tensor.ByteCount - offset)
            throw new ArgumentOutOfRangeException(nameof(offset), $"Tensor '{tensor.Name}' has {tensor.ByteCount} bytes; asked for {destination.Length} from byte {offset}.");
        var position = Header.DataStart + tensor.Begin + offset;
        while (destination.Length > 0)
        {
            var read = RandomAccess.Read(_file, destination, position);
            if (read == 0) throw new SafetensorsException($"{Path}: tensor '{tensor.Name}' is cut off. The file shrank since it was opened.");
            destination = destination[read..];
            position += read;
        }
    }

    /// <summary>The file's memory, mapped at the first call; the caller holds a reference of its own, to be released.</summary>
    public SafetensorsMap Map()
    {
        lock (_mapLock)
        {
            ObjectDisposedException.ThrowIf(_file.IsClosed, this);
            _map ??= new SafetensorsMap(_file);
            _map.AddReference();
            return _map;
        }
    }

    /// <summary>Closes the file. Memory that was mapped stays until its last holder lets go.</summary>
    public void Dispose()
    {
        lock (_mapLock)
        {
            _map?.Release();
            _map = null;
            _file.Dispose();
        }
    }
}

using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;

namespace AccelerateSharp.Safetensors;

/// <summary>The header of a safetensors file: eight bytes with its length (little-endian), then JSON. It is checked before anything relies on it.</summary>
internal sealed class SafetensorsHeader
{
    /// <summary>The size of the length that starts a file.</summary>
    public const int PrefixLength = 8;

    /// <summary>The name that is no tensor but the free-form entries.</summary>
    public const string MetadataName = "__metadata__";

    /// <summary>The longest JSON that is read, in bytes: the format's own limit.</summary>
    public const int MaxJsonLength = 100_000_000;

    private readonly Dictionary<string, SafetensorsTensor> _byName;

    internal SafetensorsHeader(long jsonLength, IReadOnlyList<SafetensorsTensor> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        DataStart = PrefixLength + jsonLength;
        Tensors = tensors;
        Metadata = metadata;
        _byName = tensors.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);
    }

    /// <summary>The position in the file that offsets are counted from.</summary>
    public long DataStart { get; }

    /// <summary>The tensors in the order of their bytes.</summary>
    public IReadOnlyList<SafetensorsTensor> Tensors { get; }

    /// <summary>The free-form entries of <c>__metadata__</c>.</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    public SafetensorsTensor? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>Reads the header of a file.</summary>
    /// <exception cref="SafetensorsException">The file is not what the format allows.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static SafetensorsHeader Read(string path)
    {
        using var file = File.OpenHandle(path);
        return Read(file, path);
    }

    /// <summary>Reads the header of an open file by positional reads; the handle's position does not move.</summary>
    public static SafetensorsHeader Read(SafeFileHandle file, string name)
    {
        var fileLength = RandomAccess.GetLength(file);
        Span<byte> prefix = stackalloc byte[PrefixLength];
        if (ReadFully(file, prefix, 0) < PrefixLength) throw TooShort(name, fileLength);
        var jsonLength = JsonLength(prefix, fileLength, name);
        var json = new byte[jsonLength];
        if (ReadFully(file, json, PrefixLength) < json.Length)
            throw new SafetensorsException($"{name}: the header is truncated. The file shrank while it was read.");
        return SafetensorsHeaderParser.Parse(json, fileLength, name);
    }

    /// <summary>Reads the header from the first bytes of a file.</summary>
    /// <param name="start">The first bytes of the file, at least as far as the header goes.</param>
    /// <param name="fileLength">The length of the whole file, or null where it is not known.</param>
    /// <param name="name">What errors call the file.</param>
    public static SafetensorsHeader Parse(ReadOnlySpan<byte> start, long? fileLength, string name)
    {
        var jsonLength = JsonLength(start, fileLength, name);
        if (start.Length - PrefixLength < jsonLength)
        {
            throw new SafetensorsException(
                $"{name}: the header is truncated. It has {jsonLength} bytes, of which {start.Length - PrefixLength} are there.");
        }
        return SafetensorsHeaderParser.Parse(start.Slice(PrefixLength, jsonLength), fileLength, name);
    }

    /// <summary>The length of the JSON, from the first eight bytes of a file.</summary>
    public static int JsonLength(ReadOnlySpan<byte> start, long? fileLength, string name)
    {
        if (start.Length < PrefixLength) throw TooShort(name, start.Length);
        var length = BinaryPrimitives.ReadUInt64LittleEndian(start);
        if (fileLength is { } whole && (whole < PrefixLength || length > (ulong)(whole - PrefixLength)))
        {
            throw new SafetensorsException(
                $"{name}: the header length {length} goes beyond the end of the file, which has {whole} bytes. The file is cut off, or is no safetensors file.");
        }
        if (length > MaxJsonLength)
        {
            throw new SafetensorsException(
                $"{name}: the header length {length} is over the limit of {MaxJsonLength} bytes. This is no safetensors file, or its header is damaged.");
        }
        return length < 2 ? throw new SafetensorsException($"{name}: the header length is {length}; the shortest header is {{}}.") : (int)length;
    }

    private static SafetensorsException TooShort(string name, long length) =>
        new($"{name}: the header is truncated. A safetensors file starts with the 8 bytes of a length; this one has {length} bytes in all.");

    private static int ReadFully(SafeFileHandle file, Span<byte> buffer, long position)
    {
        var done = 0;
        while (done < buffer.Length)
        {
            var read = RandomAccess.Read(file, buffer[done..], position + done);
            if (read == 0) break;
            done += read;
        }
        return done;
    }
}

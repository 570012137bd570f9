using AccelerateSharp.Checkpoints;

namespace AccelerateSharp.BigModel;

/// <summary>A tensor that is a file of its own.</summary>
internal sealed class DatBytes(string path, long byteCount) : ByteSource
{
    public override long ByteCount => byteCount;

    public override void Read(long offset, Span<byte> destination)
    {
        // Opened anew, as a model has more tensors than a process may have open files; a piece is large against it.
        using var file = File.OpenHandle(path, options: FileOptions.RandomAccess);
        while (destination.Length > 0)
        {
            var read = RandomAccess.Read(file, destination, offset);
            if (read == 0) throw new EndOfStreamException($"{path} is cut off: it has become shorter since it was opened.");
            destination = destination[read..];
            offset += read;
        }
    }
}

using System.Buffers;
using System.Buffers.Binary;
using System.Text.Encodings.Web;
using System.Text.Json;
using AccelerateSharp.Files;

namespace AccelerateSharp.Safetensors;

/// <summary>Writes safetensors files: beside the target first and then renamed, so that nobody ever sees a part of one.</summary>
internal static class SafetensorsWriter
{
    private const int Alignment = 8;

    /// <summary>Writes one file.</summary>
    /// <remarks>The widest elements come first and the header ends at a multiple of eight bytes, so every tensor lies aligned.</remarks>
    public static void Write(string path, IEnumerable<SafetensorsSource> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        SafetensorsSource[] ordered = [.. tensors.OrderByDescending(tensor => tensor.Dtype.Bits()).ThenBy(tensor => tensor.Name, StringComparer.Ordinal)];
        var header = Header(ordered, metadata);
        AtomicFile.Write(path, file =>
        {
            var position = header.LongLength;
            RandomAccess.Write(file, header, 0);
            foreach (var tensor in ordered)
            {
                tensor.Write(file, position);
                position += tensor.ByteCount;
            }
            var length = RandomAccess.GetLength(file);
            if (length != position) throw new InvalidOperationException($"{path}: {length} bytes were written where the header says {position}.");
        });
    }

    /// <summary>The length, the JSON and the blanks behind it.</summary>
    private static byte[] Header(IReadOnlyList<SafetensorsSource> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        var json = new ArrayBufferWriter<byte>();
        // Names come back exactly as they are; nothing here goes into a web page.
        using (var writer = new Utf8JsonWriter(json, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            var names = new HashSet<string>(StringComparer.Ordinal);
            writer.WriteStartObject();
            if (metadata is { Count: > 0 })
            {
                writer.WriteStartObject(SafetensorsHeader.MetadataName);
                foreach (var (key, value) in metadata) writer.WriteString(key, value);
                writer.WriteEndObject();
            }
            var position = 0L;
            foreach (var tensor in tensors)
            {
                if (tensor.Name == SafetensorsHeader.MetadataName || !names.Add(tensor.Name))
                    throw new ArgumentException($"A file cannot hold the tensor '{tensor.Name}': {(names.Contains(tensor.Name) ? "it is there twice" : "the name is reserved")}.");
                writer.WriteStartObject(tensor.Name);
                writer.WriteString("dtype", tensor.Dtype.Name());
                WriteNumbers(writer, "shape", tensor.Shape);
                WriteNumbers(writer, "data_offsets", [position, position + tensor.ByteCount]);
                writer.WriteEndObject();
                position += tensor.ByteCount;
            }
            writer.WriteEndObject();
        }
        var padded = (json.WrittenCount + Alignment - 1) / Alignment * Alignment;
        var bytes = new byte[SafetensorsHeader.PrefixLength + padded];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, padded);
        json.WrittenSpan.CopyTo(bytes.AsSpan(SafetensorsHeader.PrefixLength));
        bytes.AsSpan(SafetensorsHeader.PrefixLength + json.WrittenCount).Fill((byte)' ');
        return bytes;
    }

    private static void WriteNumbers(Utf8JsonWriter writer, string name, IReadOnlyList<long> numbers)
    {
        writer.WriteStartArray(name);
        foreach (var number in numbers) writer.WriteNumberValue(number);
        writer.WriteEndArray();
    }
}

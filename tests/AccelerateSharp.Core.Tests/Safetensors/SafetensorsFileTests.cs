using System.Text;
using System.Text.Json;
using AccelerateSharp.Safetensors;
using CsCheck;
using Microsoft.Win32.SafeHandles;

namespace AccelerateSharp.Core.Tests.Safetensors;

/// <summary>Files written, read by position and mapped.</summary>
public sealed unsafe class SafetensorsFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_is_written_is_read_by_position_and_through_the_map()
    {
        SafetensorsSource[] tensors = [Source("b", SafetensorsDtype.BF16, [3, 5]), Source("a", SafetensorsDtype.F64, [2]), Source("c", SafetensorsDtype.Bool, []), Source("d", SafetensorsDtype.F32, [0, 4])];
        var path = Path.Combine(_folder.Path, "model.safetensors");
        SafetensorsWriter.Write(path, tensors, new Dictionary<string, string> { ["format"] = "pt", ["note"] = "\"é\n" });

        using var reader = SafetensorsReader.Open(path);
        Assert.Equal("\"é\n", reader.Header.Metadata["note"]);
        Assert.Equal(0, reader.Header.DataStart % 8);
        foreach (var tensor in tensors)
        {
            var found = reader.Header.Find(tensor.Name)!;
            Assert.Equal((tensor.Dtype, tensor.ByteCount), (found.Dtype, found.ByteCount));
            Assert.Equal(0, found.Begin % Math.Max(1, found.Dtype.Bits() / 8));
            var expected = Bytes(tensor.Name, tensor.ByteCount);
            var read = new byte[found.ByteCount];
            reader.Read(found, 0, read);
            Assert.Equal(expected, read);
            var map = reader.Map();
            Assert.Equal(expected, new ReadOnlySpan<byte>((byte*)map.Address + reader.Header.DataStart + found.Begin, (int)found.ByteCount).ToArray());
            map.Release();
        }
        Assert.Equal(["model.safetensors"], Directory.EnumerateFiles(_folder.Path).Select(file => Path.GetFileName(file)));
    }

    [Fact]
    public void A_part_of_a_tensor_is_read_and_nothing_beside_it()
    {
        var path = Write("x.safetensors", Source("a", SafetensorsDtype.U8, [100]), Source("b", SafetensorsDtype.U8, [100]));
        using var reader = SafetensorsReader.Open(path);
        var tensor = reader.Header.Find("a")!;
        var part = new byte[10];
        reader.Read(tensor, 90, part);
        Assert.Equal(Bytes("a", 100)[90..], part);
        Assert.Throws<ArgumentOutOfRangeException>(() => reader.Read(tensor, 91, part));
        Assert.Throws<ArgumentOutOfRangeException>(() => reader.Read(tensor, -1, part));
    }

    [Fact]
    public void Mapped_memory_outlives_the_reader_and_what_is_written_to_it_never_reaches_the_file()
    {
        var path = Write("x.safetensors", Source("a", SafetensorsDtype.U8, [4]));
        var before = File.ReadAllBytes(path);
        SafetensorsMap map;
        long start;
        using (var reader = SafetensorsReader.Open(path))
        {
            map = reader.Map();
            start = reader.Header.DataStart;
        }
        var data = new Span<byte>((byte*)map.Address + start, 4);
        Assert.Equal(Bytes("a", 4), data.ToArray());
        data.Clear();
        map.Release();
        Assert.Equal(before, File.ReadAllBytes(path));
    }

    [Fact]
    public void A_failed_write_leaves_the_old_file_and_nothing_else()
    {
        var path = Write("x.safetensors", Source("a", SafetensorsDtype.U8, [4]));
        var before = File.ReadAllBytes(path);
        Assert.Throws<InvalidDataException>(() => Write("x.safetensors", new SafetensorsSource("a", SafetensorsDtype.U8, [8], (_, _) => throw new InvalidDataException())));
        Assert.Throws<InvalidOperationException>(() => Write("x.safetensors", new SafetensorsSource("a", SafetensorsDtype.U8, [8], (_, _) => { })));
        Assert.Throws<ArgumentException>(() => Write("x.safetensors", Source("a", SafetensorsDtype.U8, [1]), Source("a", SafetensorsDtype.U8, [1])));
        Assert.Throws<ArgumentException>(() => Write("x.safetensors", Source("__metadata__", SafetensorsDtype.U8, [1])));
        Assert.Equal(before, File.ReadAllBytes(path));
        Assert.Single(Directory.EnumerateFiles(_folder.Path));
    }

    [Fact]
    public void A_checkpoint_is_split_by_size_and_its_index_finds_every_tensor()
    {
        SafetensorsSource[] tensors = [.. Enumerable.Range(0, 7).Select(i => Source($"t{i}", SafetensorsDtype.F32, [i == 3 ? 40 : 10]))];
        SafetensorsShards.Write(_folder.Path, tensors, maxShardSize: 80);
        var (files, index) = SafetensorsFiles.Resolve(_folder.Path);
        Assert.Equal(Enumerable.Range(1, 5).Select(i => $"model-0000{i}-of-00005.safetensors"),
            files.Select(file => Path.GetFileName(file)));
        Assert.Equal(["t0", "t1"], index!.WeightMap.Where(entry => entry.Value == "model-00001-of-00005.safetensors").Select(entry => entry.Key));
        Assert.Equal(["t3"], SafetensorsHeader.Read(files[2]).Tensors.Select(tensor => tensor.Name));
        using (var json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(_folder.Path, "model.safetensors.index.json"))))
            Assert.Equal(400, json.RootElement.GetProperty("metadata").GetProperty("total_size").GetInt64());

        // One file replaces them all, and several replace the one.
        SafetensorsShards.Write(_folder.Path, tensors, maxShardSize: 1000);
        Assert.Equal(["model.safetensors"], Directory.EnumerateFiles(_folder.Path).Select(file => Path.GetFileName(file)));
        SafetensorsShards.Write(_folder.Path, tensors, maxShardSize: 300);
        Assert.Equal(2, SafetensorsFiles.Resolve(_folder.Path).Files.Count);
        Assert.Equal(3, Directory.EnumerateFiles(_folder.Path).Count());
    }

    [Fact]
    public void Without_weights_the_error_says_what_is_there()
    {
        Assert.Contains("no safetensors weights", Assert.Throws<FileNotFoundException>(() => SafetensorsFiles.Resolve(_folder.Path)).Message, StringComparison.Ordinal);
        _folder.Write("pytorch_model.bin", [0]);
        Assert.Contains("pickle", Assert.Throws<FileNotFoundException>(() => SafetensorsFiles.Resolve(_folder.Path)).Message, StringComparison.Ordinal);
        Write("a.safetensors");
        Assert.EndsWith("a.safetensors", SafetensorsFiles.Resolve(_folder.Path).Files[0], StringComparison.Ordinal);
        Write("b.safetensors");
        Assert.Contains("several weights", Assert.Throws<IOException>(() => SafetensorsFiles.Resolve(_folder.Path)).Message, StringComparison.Ordinal);
        Assert.Throws<FileNotFoundException>(() => SafetensorsFiles.Resolve(Path.Combine(_folder.Path, "none.safetensors")));
    }

    /// <summary>Ten thousand damaged files: each is refused by name, or every tensor that it claims lies inside it and is read.</summary>
    [Fact]
    public void A_damaged_file_is_refused_or_read_right()
    {
        var good = File.ReadAllBytes(Write("good.safetensors", Source("a", SafetensorsDtype.F32, [2, 3]), Source("b", SafetensorsDtype.BF16, [4]), Source("c", SafetensorsDtype.U8, [5])));
        var headerLength = (int)SafetensorsHeader.Parse(good, good.Length, "good").DataStart;
        var path = Path.Combine(_folder.Path, "damaged.safetensors");
        var likely = "0123456789-,:[]{}\"eE. abBFU"u8.ToArray();
        Gen.Select(
                Gen.Select(Gen.Int[0, headerLength - 1], Gen.OneOf(Gen.Byte, Gen.Int[0, likely.Length - 1].Select(i => likely[i]))).Array[0, 4],
                Gen.Frequency((3, Gen.Const(good.Length)), (1, Gen.Int[0, good.Length])))
            .Sample((changes, length) =>
            {
                var bytes = good.ToArray();
                foreach (var (position, value) in changes) bytes[position] = value;
                File.WriteAllBytes(path, bytes[..length]);
                AssertRefusedOrRead(path, bytes.AsSpan(0, length));
            }, iter: 10_000, threads: 1);
    }

    private static void AssertRefusedOrRead(string path, ReadOnlySpan<byte> file)
    {
        try
        {
            using var reader = SafetensorsReader.Open(path);
            foreach (var tensor in reader.Header.Tensors)
            {
                var read = new byte[tensor.ByteCount];
                reader.Read(tensor, 0, read);
                Assert.True(file.Slice((int)(reader.Header.DataStart + tensor.Begin), read.Length).SequenceEqual(read));
            }
        }
        catch (SafetensorsException e)
        {
            Assert.StartsWith(path, e.Message, StringComparison.Ordinal);
        }
    }

    private string Write(string name, params SafetensorsSource[] tensors)
    {
        var path = Path.Combine(_folder.Path, name);
        SafetensorsWriter.Write(path, tensors);
        return path;
    }

    private static SafetensorsSource Source(string name, SafetensorsDtype dtype, long[] shape)
    {
        SafetensorsSource? source = null;
        source = new SafetensorsSource(name, dtype, shape, (SafeFileHandle file, long position) => RandomAccess.Write(file, Bytes(name, source!.ByteCount), position));
        return source;
    }

    private static byte[] Bytes(string name, long count) => [.. Enumerable.Range(0, (int)count).Select(i => (byte)(i * 7 + Encoding.UTF8.GetBytes(name)[0]))];
}

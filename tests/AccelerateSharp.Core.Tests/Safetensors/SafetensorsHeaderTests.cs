using System.Buffers.Binary;
using System.Text;
using AccelerateSharp.Safetensors;
using CsCheck;

namespace AccelerateSharp.Core.Tests.Safetensors;

public sealed class SafetensorsHeaderTests
{
    private static readonly byte[] _good = SafetensorsBytes.File(SafetensorsBytes.TwoTensors, 32);

    [Fact]
    public void A_file_is_read()
    {
        using var folder = new TemporaryFolder();
        var header = SafetensorsHeader.Read(folder.Write("model.safetensors", _good));
        Assert.Equal(["a", "b"], header.Tensors.Select(tensor => tensor.Name));
        Assert.Equal(_good.Length - 32, header.DataStart);
        Assert.Equal("pt", header.Metadata["format"]);
        var tensor = header.Find("b")!;
        Assert.Equal((SafetensorsDtype.BF16, 4L, 24L, 32L), (tensor.Dtype, tensor.ElementCount, tensor.Begin, tensor.End));
        Assert.Null(header.Find("c"));
    }

    [Theory]
    [InlineData("BOOL", 1)]
    [InlineData("U8", 1)]
    [InlineData("I8", 1)]
    [InlineData("F8_E4M3", 1)]
    [InlineData("F8_E5M2", 1)]
    [InlineData("I16", 2)]
    [InlineData("U16", 2)]
    [InlineData("F16", 2)]
    [InlineData("BF16", 2)]
    [InlineData("I32", 4)]
    [InlineData("U32", 4)]
    [InlineData("F32", 4)]
    [InlineData("I64", 8)]
    [InlineData("U64", 8)]
    [InlineData("F64", 8)]
    [InlineData("C64", 8)]
    public void Every_dtype_has_its_size(string dtype, int size)
    {
        var tensor = Parse(SafetensorsBytes.File(SafetensorsBytes.Tensor(dtype, "[3,5]", 0, 15 * size), 15 * size)).Tensors[0];
        Assert.Equal((dtype, 15L, 15L * size), (tensor.Dtype.Name(), tensor.ElementCount, tensor.ByteCount));
    }

    [Fact]
    public void Scalars_empty_tensors_and_padding_are_allowed()
    {
        const string Json = """{"e":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}     """;
        Assert.Equal([1L, 0L], Parse(SafetensorsBytes.File(Json, 4)).Tensors.Select(tensor => tensor.ElementCount));
        Assert.Empty(Parse(SafetensorsBytes.File("{}", 0)).Tensors);
    }

    [Theory]
    [InlineData("F32", "[2]", 0, 7, 7, "takes 8 bytes")]
    [InlineData("F32", "[2]", 4, 12, 12, "gap of 4 bytes")]
    [InlineData("F32", "[2]", 0, 8, 4, "cut off")]
    [InlineData("F32", "[2]", 0, 8, 9, "1 bytes more")]
    [InlineData("F32", "[2]", 8, 0, 8, "before it begins")]
    [InlineData("Q4", "[2]", 0, 1, 1, "unknown dtype 'Q4'")]
    [InlineData("F32", "[-1]", 0, 4, 4, "0 to 2^63")]
    [InlineData("F32", "[1.5]", 0, 4, 4, "0 to 2^63")]
    [InlineData("F32", "2", 0, 8, 8, "not an array")]
    [InlineData("F32", "[4611686018427387904,4611686018427387904,4]", 0, 0, 0, "its data_offsets span 0")]
    [InlineData("F32", "[0,4611686018427387904,4611686018427387904]", 0, 0, 0, "too large")]
    [InlineData("F4", "[3]", 0, 1, 1, "takes 12/8 bytes")]
    public void A_wrong_claim_is_named(string dtype, string shape, long begin, long end, int dataLength, string expected) =>
        AssertRefused(SafetensorsBytes.File(SafetensorsBytes.Tensor(dtype, shape, begin, end), dataLength), expected);

    [Theory]
    [InlineData("""{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""", "'a' is there twice")]
    [InlineData("""{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}""", "'dtype' twice")]
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}""", "inside the one before")]
    [InlineData("""{"a":{"dtype":"U8","shape":[1]}}""", "needs a dtype")]
    [InlineData("""{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}""", "more than 2")]
    [InlineData("""{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}}""", "unknown field 'x'")]
    [InlineData("""{"__metadata__":{"x":1}}""", "not a string")]
    [InlineData("""[]""", "not an object")]
    [InlineData("""{"a":""", "no valid JSON")]
    [InlineData("""{} {}""", "no valid JSON")]
    [InlineData("""{"\ud800":{}}""", "no valid JSON")]
    public void A_wrong_header_is_named(string json, string expected) => AssertRefused(SafetensorsBytes.File(json, 2), expected);

    [Fact]
    public void A_wrong_length_is_named()
    {
        AssertRefused([1, 2, 3], "truncated");
        AssertRefused(WithLength((ulong)_good.Length), "beyond the end of the file");
        AssertRefused(WithLength(ulong.MaxValue), "beyond the end of the file");
        AssertRefused(WithLength(0), "shortest header");
        var error = Assert.Throws<SafetensorsException>(() => SafetensorsHeader.Parse(WithLength(100_000_001), fileLength: null, "x"));
        Assert.Contains("over the limit", error.Message, StringComparison.Ordinal);
        error = Assert.Throws<SafetensorsException>(() => SafetensorsHeader.Parse(_good.AsSpan(0, 40), _good.Length, "x"));
        Assert.Contains("truncated", error.Message, StringComparison.Ordinal);

        static byte[] WithLength(ulong length)
        {
            var bytes = _good.ToArray();
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, length);
            return bytes;
        }
    }

    [Fact]
    public void Whatever_is_changed_there_is_an_error_or_a_header_that_is_right()
    {
        var json = Encoding.UTF8.GetBytes(SafetensorsBytes.TwoTensors);
        Gen.Select(Gen.Int[0, _good.Length - 1], Gen.Byte).Array[1, 4].Select(Gen.Int[0, _good.Length])
            .Sample((changes, cut) =>
            {
                var bytes = _good.ToArray();
                foreach (var (position, value) in changes) bytes[position] = value;
                AssertRefusedOrRight(bytes);
                AssertRefusedOrRight(_good[..cut]);
            }, iter: 20_000);
        // Digits and punctuation for each other: what is likeliest to pass the JSON reader and mean something else.
        var likely = "0123456789-,:[]{}\"eE. "u8.ToArray();
        Gen.Select(Gen.Int[0, json.Length - 1], Gen.Int[0, likely.Length - 1].Select(i => likely[i])).Array[1, 3].Sample(changes =>
        {
            var changed = json.ToArray();
            foreach (var (position, value) in changes) changed[position] = value;
            AssertRefusedOrRight(SafetensorsBytes.File(changed, 32));
        }, iter: 20_000);
    }

    private static void AssertRefusedOrRight(byte[] file)
    {
        SafetensorsHeader header;
        try
        {
            header = Parse(file);
        }
        catch (SafetensorsException)
        {
            return;
        }
        var position = 0L;
        foreach (var tensor in header.Tensors)
        {
            Assert.Equal(position, tensor.Begin);
            Assert.Equal(tensor.ElementCount * tensor.Dtype.Bits(), tensor.ByteCount * 8);
            position = tensor.End;
        }
        Assert.Equal(file.Length, header.DataStart + position);
    }

    private static SafetensorsHeader Parse(byte[] file) => SafetensorsHeader.Parse(file, file.Length, "x");

    private static void AssertRefused(byte[] file, string expected)
    {
        var error = Assert.Throws<SafetensorsException>(() => Parse(file));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        using var folder = new TemporaryFolder();
        var path = folder.Write("model.safetensors", file);
        Assert.StartsWith(path, Assert.Throws<SafetensorsException>(() => SafetensorsHeader.Read(path)).Message, StringComparison.Ordinal);
    }
}

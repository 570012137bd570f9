using System.Numerics;
using System.Text.Json;

namespace AccelerateSharp.Safetensors;

/// <summary>Turns the JSON of a header into tensors, and checks each of its claims.</summary>
internal ref struct SafetensorsHeaderParser
{
    private const int MaxDimensions = 64;

    private readonly string _name;
    private Utf8JsonReader _reader;

    private SafetensorsHeaderParser(ReadOnlySpan<byte> json, string name)
    {
        _name = name;
        _reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 8 });
    }

    public static SafetensorsHeader Parse(ReadOnlySpan<byte> json, long? fileLength, string name)
    {
        try
        {
            var parser = new SafetensorsHeaderParser(json, name);
            var (tensors, metadata) = parser.ReadAll();
            var dataLength = fileLength - SafetensorsHeader.PrefixLength - json.Length;
            return new SafetensorsHeader(json.Length, InOrder(tensors, dataLength, name), metadata);
        }
        // The second is how the reader reports a text that is no Unicode.
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new SafetensorsException($"{name}: the header is no valid JSON: {e.Message}", e);
        }
    }

    private (List<SafetensorsTensor> Tensors, Dictionary<string, string> Metadata) ReadAll()
    {
        var tensors = new List<SafetensorsTensor>();
        var metadata = new Dictionary<string, string>(StringComparer.Ordinal);
        var names = new HashSet<string>(StringComparer.Ordinal);
        Next();
        Expect(JsonTokenType.StartObject, "the header", "an object");
        while (NextProperty() is { } name)
        {
            if (!names.Add(name)) throw Error($"'{name}' is there twice");
            if (name == SafetensorsHeader.MetadataName) ReadMetadata(metadata);
            else tensors.Add(ReadTensor(name));
        }
        if (_reader.Read()) throw Error("there is more after the end of the header's object");
        return (tensors, metadata);
    }

    private void ReadMetadata(Dictionary<string, string> metadata)
    {
        Next();
        Expect(JsonTokenType.StartObject, SafetensorsHeader.MetadataName, "an object of strings");
        while (NextProperty() is { } key)
        {
            Next();
            Expect(JsonTokenType.String, $"'{key}' of {SafetensorsHeader.MetadataName}", "a string");
            if (!metadata.TryAdd(key, _reader.GetString()!)) throw Error($"'{key}' is twice in {SafetensorsHeader.MetadataName}");
        }
    }

    private SafetensorsTensor ReadTensor(string name)
    {
        SafetensorsDtype? dtype = null;
        List<long>? shape = null, offsets = null;
        Next();
        Expect(JsonTokenType.StartObject, $"tensor '{name}'", "an object");
        while (NextProperty() is { } field)
        {
            var isRepeated = field switch { "dtype" => dtype is not null, "shape" => shape is not null, "data_offsets" => offsets is not null, _ => false };
            if (isRepeated) throw Error($"tensor '{name}' has '{field}' twice");
            switch (field)
            {
                case "dtype":
                    Next();
                    Expect(JsonTokenType.String, $"the dtype of tensor '{name}'", "a string");
                    var text = _reader.GetString()!;
                    dtype = SafetensorsDtypes.Parse(text) ?? throw Error($"tensor '{name}' has the unknown dtype '{text}'");
                    break;
                case "shape":
                    shape = ReadNumbers(name, field, MaxDimensions);
                    break;
                case "data_offsets":
                    offsets = ReadNumbers(name, field, 2);
                    break;
                default:
                    throw Error($"tensor '{name}' has the unknown field '{field}'");
            }
        }
        if (dtype is not { } type || shape is null || offsets is not [var begin, var end])
            throw Error($"tensor '{name}' needs a dtype, a shape and two data_offsets");
        if (end < begin) throw Error($"tensor '{name}' ends ({end}) before it begins ({begin})");
        var bits = shape.Aggregate(new BigInteger(type.Bits()), (product, extent) => product * extent);
        if (bits != (BigInteger)(end - begin) * 8)
        {
            throw Error($"tensor '{name}' of shape [{string.Join(", ", shape)}] and dtype {type.Name()} takes {Bytes(bits)} bytes, "
                + $"but its data_offsets span {end - begin}");
        }
        // A shape such as [0, 2^62, 2^62] takes no bytes, but nothing can be done with it.
        if (shape.Where(extent => extent != 0).Aggregate(BigInteger.One, (product, extent) => product * extent) > long.MaxValue)
            throw Error($"tensor '{name}' has a shape that is too large");
        return new SafetensorsTensor(name, type, shape, begin, end);

        static string Bytes(BigInteger bits) => bits % 8 == 0 ? (bits / 8).ToString() : $"{bits}/8";
    }

    private List<long> ReadNumbers(string tensor, string field, int maxCount)
    {
        var numbers = new List<long>();
        Next();
        Expect(JsonTokenType.StartArray, $"{field} of tensor '{tensor}'", "an array");
        for (Next(); _reader.TokenType != JsonTokenType.EndArray; Next())
        {
            if (_reader.TokenType != JsonTokenType.Number || !_reader.TryGetInt64(out var number) || number < 0)
                throw Error($"{field} of tensor '{tensor}' holds something else than numbers from 0 to 2^63 - 1");
            if (numbers.Count == maxCount) throw Error($"{field} of tensor '{tensor}' has more than {maxCount} numbers");
            numbers.Add(number);
        }
        return numbers;
    }

    private static List<SafetensorsTensor> InOrder(List<SafetensorsTensor> tensors, long? dataLength, string name)
    {
        var sorted = tensors.OrderBy(tensor => tensor.Begin).ThenBy(tensor => tensor.End).ToList();
        var position = 0L;
        foreach (var tensor in sorted)
        {
            if (tensor.End > dataLength)
            {
                throw new SafetensorsException(
                    $"{name}: tensor '{tensor.Name}' ends at byte {tensor.End} of the data, which has {dataLength}. The file is cut off.");
            }
            if (tensor.Begin < position)
                throw new SafetensorsException($"{name}: tensor '{tensor.Name}' begins at byte {tensor.Begin}, inside the one before it, which ends at {position}.");
            if (tensor.Begin > position)
                throw new SafetensorsException($"{name}: there is a gap of {tensor.Begin - position} bytes before tensor '{tensor.Name}'.");
            position = tensor.End;
        }
        return dataLength is { } length && position != length
            ? throw new SafetensorsException($"{name}: the tensors end at byte {position} of the data, but the file has {length - position} bytes more.")
            : sorted;
    }

    private string? NextProperty()
    {
        Next();
        return _reader.TokenType == JsonTokenType.EndObject ? null : _reader.GetString();
    }

    private void Next()
    {
        if (!_reader.Read()) throw Error("it ends too early");
    }

    private readonly void Expect(JsonTokenType type, string what, string expected)
    {
        if (_reader.TokenType != type) throw Error($"{what} is not {expected}");
    }

    private readonly SafetensorsException Error(string problem) => new($"{_name}: the header is not valid: {problem}.");
}

using System.Text;
using System.Text.Json;

namespace AccelerateSharp.Configuration;

/// <summary>JSON as nodes that know their line.</summary>
internal ref struct JsonSyntax
{
    private readonly ReadOnlySpan<byte> _bytes;
    private Utf8JsonReader _reader;
    private int _counted;
    private int _line = 1;

    private JsonSyntax(ReadOnlySpan<byte> bytes, bool allowTrailingCommas)
    {
        _bytes = bytes;
        _reader = new Utf8JsonReader(bytes, new JsonReaderOptions { AllowTrailingCommas = allowTrailingCommas, MaxDepth = 32 });
    }

    /// <summary>Reads one value; null where there is none.</summary>
    /// <param name="text">The file.</param>
    /// <param name="allowTrailingCommas">Whether a comma may stand before a closing bracket.</param>
    /// <exception cref="ConfigSyntaxException">What is not JSON.</exception>
    public static ConfigNode? Parse(string text, bool allowTrailingCommas = true)
    {
        if (string.IsNullOrWhiteSpace(text)) return null;
        var syntax = new JsonSyntax(Encoding.UTF8.GetBytes(text), allowTrailingCommas);
        try
        {
            syntax._reader.Read();
            var root = syntax.Node();
            while (syntax._reader.Read())
            {
            }
            return root;
        }
        catch (JsonException e)
        {
            var reason = e.Message.Split(" LineNumber:", 2)[0].TrimEnd('.');
            throw new ConfigSyntaxException((int)(e.LineNumber ?? 0) + 1, "this is not JSON: " + reason);
        }
    }

    private ConfigNode Node()
    {
        var line = Line();
        switch (_reader.TokenType)
        {
            case JsonTokenType.StartObject:
                var entries = new List<MapEntry>();
                while (Next() != JsonTokenType.EndObject)
                {
                    var (key, keyLine) = (_reader.GetString()!, Line());
                    Next();
                    entries.Add(new MapEntry(key, keyLine, Node()));
                }
                return new MapNode(line, entries);
            case JsonTokenType.StartArray:
                var items = new List<ConfigNode>();
                while (Next() != JsonTokenType.EndArray) items.Add(Node());
                return new ListNode(line, items);
            case JsonTokenType.String:
                return new ScalarNode(line, _reader.GetString()!, IsPlain: false);
            default:
                return new ScalarNode(line, Encoding.UTF8.GetString(_reader.ValueSpan), IsPlain: true);
        }
    }

    private JsonTokenType Next()
    {
        _reader.Read();
        return _reader.TokenType;
    }

    private int Line()
    {
        var start = (int)_reader.TokenStartIndex;
        _line += _bytes[_counted..start].Count((byte)'\n');
        _counted = start;
        return _line;
    }
}

using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace AccelerateSharp.Configuration;

/// <summary>YAML as nodes that know their line.</summary>
internal static class YamlSyntax
{
    private const int MaxDepth = 32;

    /// <summary>Reads one document; null where there is none.</summary>
    /// <exception cref="ConfigSyntaxException">What is not YAML.</exception>
    public static ConfigNode? Parse(string text)
    {
        var parser = new Parser(new StringReader(text));
        try
        {
            parser.Consume<StreamStart>();
            if (parser.Accept<StreamEnd>(out _)) return null;
            parser.Consume<DocumentStart>();
            var root = Node(parser, depth: 0);
            parser.Consume<DocumentEnd>();
            if (parser.Accept<DocumentStart>(out var second))
                throw new ConfigSyntaxException((int)second.Start.Line, "a second document starts here ('---'); a configuration is one document");
            return root;
        }
        catch (YamlException e)
        {
            throw new ConfigSyntaxException(Math.Max(1, (int)e.Start.Line), "this is not YAML: " + Reason(e));
        }
    }

    private static ConfigNode Node(Parser parser, int depth)
    {
        var line = (int)parser.Current!.Start.Line;
        if (depth > MaxDepth) throw new ConfigSyntaxException(line, $"values are nested more than {MaxDepth} deep");
        if (parser.TryConsume<Scalar>(out var scalar))
            return new ScalarNode(line, scalar.Value, scalar.Style is ScalarStyle.Plain && scalar.Tag.IsEmpty);
        if (parser.TryConsume<SequenceStart>(out _))
        {
            var items = new List<ConfigNode>();
            while (!parser.TryConsume<SequenceEnd>(out _)) items.Add(Node(parser, depth + 1));
            return new ListNode(line, items);
        }
        if (parser.TryConsume<MappingStart>(out _))
        {
            var entries = new List<MapEntry>();
            while (!parser.TryConsume<MappingEnd>(out _))
            {
                if (Node(parser, depth + 1) is not ScalarNode key) throw new ConfigSyntaxException(line, "a key is a list or a section; keys are words");
                entries.Add(new MapEntry(key.Text, key.Line, Node(parser, depth + 1)));
            }
            return new MapNode(line, entries);
        }
        throw new ConfigSyntaxException(line, "references (*name) are not read here; write the value itself");
    }

    private static string Reason(YamlException e)
    {
        var reason = (e.InnerException?.Message ?? e.Message).ReplaceLineEndings(" ").TrimEnd('.');
        // Some messages start with the position, which is said already.
        var position = reason.StartsWith("(Line:", StringComparison.Ordinal) ? reason.IndexOf("): ", StringComparison.Ordinal) : -1;
        return position < 0 ? reason : reason[(position + 3)..];
    }
}

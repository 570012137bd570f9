namespace AccelerateSharp.Configuration;

/// <summary>What stands in a configuration file, before anything is known of its keys.</summary>
/// <param name="Line">The line at which it starts, from 1.</param>
internal abstract record ConfigNode(int Line);

/// <summary>A single value.</summary>
/// <param name="Line">The line at which it starts, from 1.</param>
/// <param name="Text">The value as written, without quotation marks.</param>
/// <param name="IsPlain">Whether it was written without quotation marks, so that it may be a number, a switch or nothing at all.</param>
internal sealed record ScalarNode(int Line, string Text, bool IsPlain) : ConfigNode(Line)
{
    public bool IsNull => IsPlain && Text is "" or "~" or "null" or "Null" or "NULL";
}

/// <summary>A list.</summary>
internal sealed record ListNode(int Line, IReadOnlyList<ConfigNode> Items) : ConfigNode(Line);

/// <summary>Keys and their values, as often as they are there.</summary>
internal sealed record MapNode(int Line, IReadOnlyList<MapEntry> Entries) : ConfigNode(Line);

/// <summary>A key and its value.</summary>
/// <param name="Key">The key.</param>
/// <param name="Line">The line of the key, from 1.</param>
/// <param name="Value">The value.</param>
internal sealed record MapEntry(string Key, int Line, ConfigNode Value);

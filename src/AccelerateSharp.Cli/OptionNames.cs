using System.CommandLine;

namespace AccelerateSharp.Cli;

/// <summary>Options that may be spelled with <c>_</c> or with <c>-</c>.</summary>
internal static class OptionNames
{
    /// <summary>An option from its underscore spelling, for instance <c>--num_processes</c>.</summary>
    public static Option<T> Create<T>(string name, string description)
    {
        var dashed = "--" + name[2..].Replace('_', '-');
        var option = dashed == name ? new Option<T>(name) { Description = description } : new Option<T>(name, dashed) { Description = description };
        // A switch takes no value: what follows may be a program that is called true.
        if (typeof(T) == typeof(bool)) option.Arity = ArgumentArity.Zero;
        return option;
    }
}

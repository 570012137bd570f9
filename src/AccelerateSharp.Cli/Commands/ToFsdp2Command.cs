using System.CommandLine;
using AccelerateSharp.Cli.Configuration;
using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Commands;

/// <summary><c>accelerate to-fsdp2</c>.</summary>
internal static class ToFsdp2Command
{
    public static Command Create()
    {
        var file = OptionNames.Create<string>("--config_file", "The configuration to convert.");
        file.Required = true;
        var output = OptionNames.Create<string?>("--output_file", "Where to write the converted one.");
        var overwrite = OptionNames.Create<bool>("--overwrite", "Replace the output file, or the configuration itself where no output file is named.");
        var command = new Command("to-fsdp2", "Converts a configuration for FSDP version 1 into one for version 2.") { file, output, overwrite };
        command.SetAction(parsed => Convert(
            ConfigLocation.Expand(parsed.GetRequiredValue(file)), parsed.GetValue(output) is { } path ? ConfigLocation.Expand(path) : null, parsed.GetValue(overwrite)));
        return command;
    }

    private static int Convert(string path, string? output, bool overwrite)
    {
        if (!File.Exists(path)) throw new UserErrorException($"There is no configuration file '{path}'.");
        if (output is null && !overwrite) throw new UserErrorException("Name an --output_file, or pass --overwrite to replace the configuration itself.");
        if (output is not null && File.Exists(output) && !overwrite) throw new UserErrorException($"'{output}' exists already; pass --overwrite to replace it.");
        var target = output ?? path;
        var conversion = Fsdp2Conversion.Of(ConfigFiles.ReadUntyped(path));
        foreach (var note in conversion.Notes) Console.Error.WriteLine(note);
        // A file that needs no conversion keeps its comments and its order.
        if (!conversion.Changed && output is null) return 0;
        ConfigFiles.Save(target, conversion.Values);
        Console.WriteLine($"The configuration is saved in {target}");
        return 0;
    }
}

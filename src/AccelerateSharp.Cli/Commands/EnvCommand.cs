using System.CommandLine;
using System.Text.Json;
using AccelerateSharp.Cli.Diagnostics;

namespace AccelerateSharp.Cli.Commands;

/// <summary><c>accelerate env</c>.</summary>
internal static class EnvCommand
{
    public static Command Create()
    {
        var config = OptionNames.Create<string?>("--config_file", "The config file to show. Default: the user's own, where there is one.");
        config.HelpName = "FILE";
        var json = new Option<bool>("--json") { Description = "Print JSON, with sizes in bytes." };
        var command = new Command("env", "Tells the versions, hardware, libraries and settings that training depends on; paste it into an issue.") { config, json };
        command.SetAction(parsed =>
        {
            var report = EnvironmentProbe.Collect(parsed.GetValue(config));
            if (parsed.GetValue(json)) Console.Out.WriteLine(JsonSerializer.Serialize(report, EnvironmentJson.Default.EnvironmentReport));
            else Console.Out.Write(EnvironmentText.Of(report));
        });
        return command;
    }
}

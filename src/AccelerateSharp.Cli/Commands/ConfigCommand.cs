using System.CommandLine;
using System.Runtime.InteropServices;
using AccelerateSharp.Cli.Configuration;
using AccelerateSharp.Cli.Launch;
using AccelerateSharp.Configuration;
using Spectre.Console;

namespace AccelerateSharp.Cli.Commands;

/// <summary><c>accelerate config</c>, <c>config default</c> and <c>config update</c>.</summary>
internal static class ConfigCommand
{
    public static Command Create()
    {
        var file = OptionNames.Create<string?>("--config_file", "The file to write; JSON where it ends with .json, else YAML. Default: the one that `accelerate launch` reads.");
        var command = new Command("config", "Asks about your machines and writes the answers to a configuration file.") { file, CreateDefault(), CreateUpdate() };
        command.SetAction(parsed => Ask(Path(parsed.GetValue(file))));
        return command;
    }

    private static Command CreateDefault()
    {
        var file = OptionNames.Create<string?>("--config_file", "The file to write. Default: the one that `accelerate launch` reads.");
        var precision = OptionNames.Create<string>("--mixed_precision", "Precision of the computation: no, fp16 or bf16.");
        precision.DefaultValueFactory = _ => "no";
        precision.AcceptOnlyFromAmong("no", "fp16", "bf16");
        var command = new Command("default", "Writes a configuration for the GPUs of this machine, without questions.") { file, precision };
        command.SetAction(parsed => WriteDefault(Path(parsed.GetValue(file)), parsed.GetValue(precision)!, Hardware.GpuCount()));
        return command;
    }

    private static Command CreateUpdate()
    {
        var file = OptionNames.Create<string?>("--config_file", "The file to rewrite. Default: the one that `accelerate launch` reads.");
        var command = new Command("update", "Rewrites a configuration of an earlier version with the keys of today.") { file };
        command.SetAction(parsed => Update(Path(parsed.GetValue(file))));
        return command;
    }

    private static int Ask(string path)
    {
        // A terminal that knows no escape sequences, and a pipe, get plain lines.
        var isTerminal = !Console.IsInputRedirected && !Console.IsOutputRedirected && Environment.GetEnvironmentVariable("TERM") is not (null or "" or "dumb");
        // Ctrl-C in the middle of a menu, which hides the cursor, gives it back.
        using var interrupt = isTerminal ? PosixSignalRegistration.Create(PosixSignal.SIGINT, _ => Console.WriteLine("\e[?25h")) : null;
        IQuestions questions = isTerminal ? new TerminalQuestions(AnsiConsole.Console) : new LineQuestions(Console.In, Console.Out);
        Save(path, new Questionnaire(questions).Run());
        return 0;
    }

    /// <summary>Writes a file for a machine with so many GPUs, unless there is one already.</summary>
    private static int WriteDefault(string path, string precision, int gpus)
    {
        if (File.Exists(path))
        {
            Console.WriteLine($"{path} exists already and was left as it is. `accelerate config update` rewrites it, `accelerate config` asks anew.");
            return 0;
        }
        Save(path, new ClusterConfig(new ConfigSection
        {
            [ConfigKeys.DistributedType] = gpus > 1 ? DistributedTypes.MultiGpu : DistributedTypes.None,
            [ConfigKeys.MixedPrecision] = precision,
            [ConfigKeys.NumProcesses] = Math.Max(1, gpus),
            [ConfigKeys.UseCpu] = gpus == 0,
        }).WithDefaults().Values);
        return 0;
    }

    private static int Update(string path)
    {
        Save(path, ConfigFiles.Read(path, Console.Error.WriteLine).Config.WithDefaults().Values);
        return 0;
    }

    private static void Save(string path, ConfigSection values)
    {
        ConfigFiles.Save(path, values);
        Console.WriteLine($"The configuration is saved in {path}");
    }

    private static string Path(string? typed) => typed is null ? ConfigLocation.Default() : ConfigLocation.Expand(typed);
}

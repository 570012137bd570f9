using System.CommandLine;
using AccelerateSharp.Cli.Configuration;
using AccelerateSharp.Cli.Help;
using AccelerateSharp.Cli.SelfTest;

namespace AccelerateSharp.Cli.Commands;

/// <summary><c>accelerate test</c>.</summary>
internal static class TestCommand
{
    public static Command Create()
    {
        var file = OptionNames.Create<string?>("--config_file", "Configuration of `accelerate config` to test. Default: the one that it writes, if there.");
        file.HelpName = "FILE";
        var processes = OptionNames.Create<int?>("--num_processes", "Number of processes. Default: one for each GPU, or one.");
        var cpu = OptionNames.Create<bool>("--cpu", "Run on the CPU, whatever GPUs there are.");
        var command = new Command("test", "Tests on this machine what training needs: collectives, loaders, and training that equals that of one process.");
        command.Group("Configuration", file);
        command.Group("Processes and devices", processes, cpu);
        command.SetAction(parsed => SelfTestRun.Run(ConfigFiles.Named(parsed.GetValue(file)), parsed.GetValue(processes), parsed.GetValue(cpu)));
        return command;
    }
}

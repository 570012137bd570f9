using System.CommandLine;
using AccelerateSharp.Cli.Configuration;
using AccelerateSharp.Cli.Help;
using AccelerateSharp.Cli.Launch;
using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Commands;

/// <summary><c>accelerate launch</c>.</summary>
internal static class LaunchCommand
{
    public static Command Create()
    {
        var file = OptionNames.Create<string?>("--config_file", "Configuration of `accelerate config`, for what no option says. Default: the one that it writes, if there.");
        var processes = OptionNames.Create<int?>("--num_processes", "Number of processes, over all machines. Default: one for each GPU, or one.");
        var cpu = OptionNames.Create<bool>("--cpu", "Run on the CPU, whatever GPUs there are.");
        var machines = OptionNames.Create<int?>("--num_machines", "Number of machines. Default: 1. The command is to be run on each of them.");
        var machineRank = OptionNames.Create<int?>("--machine_rank", "Rank of this machine, from 0. Default: NODE_RANK, or 0.");
        var address = OptionNames.Create<string?>("--main_process_ip", "Address of the machine of rank 0.");
        var port = OptionNames.Create<int?>("--main_process_port", "Port of rank 0; 0 for any that is free. Default: 29500.");
        var precision = OptionNames.Create<string?>("--mixed_precision", "Precision of the computation: no, fp16, bf16 or fp8.");
        precision.AcceptOnlyFromAmong("no", "fp16", "bf16", "fp8");
        var debug = OptionNames.Create<bool>("--debug", "Check the shapes of each collective operation between the processes.");
        var grace = OptionNames.Create<double>("--grace_period", "Seconds that workers have to end by themselves before they are killed.");
        grace.DefaultValueFactory = _ => 10;
        var threads = OptionNames.Create<int?>("--num_cpu_threads_per_process", "CPU threads of each process (OMP_NUM_THREADS). Default: the physical cores, shared out.");
        var execution = new ExecutionOptionGroup();
        var program = new Argument<string[]>("target")
        {
            HelpName = "TARGET [args...]",
            Description = "A .cs file, a project, a .dll or any executable, and its arguments.",
            Arity = ArgumentArity.OneOrMore,
            CaptureRemainingTokens = true,
        };
        file.HelpName = "FILE";
        precision.HelpName = "TYPE";
        address.HelpName = "HOST";
        grace.HelpName = "SECONDS";
        var command = new Command("launch", "Builds a program once and starts it as many times as there are processes.") { program };
        command.Group("Configuration", file);
        command.Group("Processes and devices", processes, cpu, precision, threads);
        command.Group("Several machines", machines, machineRank, address, port);
        execution.AddTo(command);
        command.Group("Errors and endings", debug, grace);
        command.SetAction(parsed => Launcher.Run(new LaunchOptions
        {
            Config = ConfigOf(parsed.GetValue(file)),
            ProcessCount = parsed.GetValue(processes),
            Cpu = parsed.GetValue(cpu),
            MachineCount = parsed.GetValue(machines),
            MachineRank = parsed.GetValue(machineRank),
            MainProcessAddress = parsed.GetValue(address),
            MainProcessPort = parsed.GetValue(port),
            MixedPrecision = parsed.GetValue(precision),
            Debug = parsed.GetValue(debug),
            GracePeriod = TimeSpan.FromSeconds(Math.Clamp(parsed.GetValue(grace), 0, 86400)),
            ThreadsPerProcess = parsed.GetValue(threads),
            Execution = execution.Read(parsed),
            Target = parsed.GetRequiredValue(program)[0],
            Arguments = parsed.GetRequiredValue(program)[1..],
        }));
        return command;
    }

    /// <summary>The file that was named, or the default one where there is one.</summary>
    private static ConfigFile? ConfigOf(string? typed)
    {
        var path = typed is null ? ConfigLocation.Default() : ConfigLocation.Expand(typed);
        return typed is null && !File.Exists(path) ? null : ConfigFiles.Read(path, Console.Error.WriteLine);
    }
}

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
        var gpus = OptionNames.Create<string?>("--gpu_ids", "GPUs of this machine to use, such as 0,1; or all. Default: all.");
        gpus.HelpName = "IDS";
        var machines = OptionNames.Create<int?>("--num_machines", "Number of machines; the command is to be run on each. Default: what the cluster says (NNODES, SLURM), or 1.");
        var machineRank = OptionNames.Create<int?>("--machine_rank", "Rank of this machine, from 0. Default: what the cluster says (NODE_RANK, SLURM, Kubernetes), or 0.");
        var address = OptionNames.Create<string?>("--main_process_ip", "Address of the machine of rank 0.");
        var port = OptionNames.Create<int?>("--main_process_port", "Port of rank 0; 0 for any that is free. Default: 29500.");
        var precision = OptionNames.Create<string?>("--mixed_precision", "Precision of the computation: no, fp16, bf16 or fp8.");
        precision.AcceptOnlyFromAmong("no", "fp16", "bf16", "fp8");
        var debug = OptionNames.Create<bool>("--debug", "Check the shapes of each collective operation between the processes.");
        var grace = OptionNames.Create<double>("--grace_period", "Seconds that workers have to end by themselves before they are killed.");
        grace.DefaultValueFactory = _ => 10;
        var threads = OptionNames.Create<int?>("--num_cpu_threads_per_process", "CPU threads of each process (OMP_NUM_THREADS). Default: the physical cores, shared out.");
        var paradigm = new ParadigmOptionGroup();
        var execution = new ExecutionOptionGroup();
        var dryRun = OptionNames.Create<bool>("--dry_run", "Show every setting, its source, and the command and environment of each worker; start nothing.");
        var quiet = OptionNames.Create<bool>("--quiet", "Say nothing of decisions and failures: the workers' output only.");
        quiet.Aliases.Add("-q");
        var module = OptionNames.Create<bool>("--module", "Refused: modules are Python's. Name a project instead.");
        module.Aliases.Add("-m");
        var noPython = OptionNames.Create<bool>("--no_python", "The target is a program as it stands: nothing is built.");
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
        command.Group("Configuration", file, dryRun);
        command.Group("Program", noPython, module);
        command.Group("Processes and devices", processes, cpu, gpus, precision, threads);
        command.Group("Several machines", machines, machineRank, address, port);
        execution.AddTo(command);
        command.Group("Errors and endings", debug, quiet, grace);
        paradigm.AddTo(command);
        command.SetAction(parsed => Launcher.Run(new LaunchOptions
        {
            IsProgram = IsProgram(parsed.GetValue(noPython), parsed.GetValue(module)),
            Config = ConfigFiles.Named(parsed.GetValue(file)),
            ProcessCount = parsed.GetValue(processes),
            Cpu = parsed.GetValue(cpu),
            GpuIds = parsed.GetValue(gpus),
            MachineCount = parsed.GetValue(machines),
            MachineRank = parsed.GetValue(machineRank),
            MainProcessAddress = parsed.GetValue(address),
            MainProcessPort = parsed.GetValue(port),
            MixedPrecision = parsed.GetValue(precision),
            Debug = parsed.GetValue(debug),
            GracePeriod = TimeSpan.FromSeconds(Math.Clamp(parsed.GetValue(grace), 0, 86400)),
            GracePeriodIsTyped = parsed.GetResult(grace) is { Implicit: false },
            Quiet = parsed.GetValue(quiet),
            DryRun = parsed.GetValue(dryRun),
            Paradigm = paradigm.Read(parsed),
            ThreadsPerProcess = parsed.GetValue(threads),
            Execution = execution.Read(parsed),
            Target = Named(parsed.GetRequiredValue(program)[0], command),
            Arguments = parsed.GetRequiredValue(program)[1..],
        }));
        return command;
    }

    /// <summary>The target is what comes first that is no option; what only looks like an option is a misspelled one.</summary>
    private static string Named(string target, Command command)
    {
        if (!target.StartsWith('-')) return target;
        var name = target.Split('=')[0];
        var spelled = name.StartsWith("--", StringComparison.Ordinal) && !name.Contains('_', StringComparison.Ordinal) ? "--" + name[2..].Replace('-', '_') : name;
        throw new UserErrorException($"launch has no option '{name}'.{Spelling.Hint(spelled, command.Options.Where(option => !option.Hidden).Select(option => option.Name))} `accelerate launch --help` lists them.");
    }

    private static bool IsProgram(bool noPython, bool module)
    {
        if (module && noPython) throw new UserErrorException("--module and --no_python exclude each other.");
        return module
            ? throw new UserErrorException("--module (-m) runs a module of Python. Name the program as it is instead: a project or its folder, a .cs file, a .dll, or any executable.")
            : noPython;
    }
}

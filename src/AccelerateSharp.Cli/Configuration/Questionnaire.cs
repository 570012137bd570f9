using AccelerateSharp.Configuration;

namespace AccelerateSharp.Cli.Configuration;

/// <summary>What <c>accelerate config</c> asks.</summary>
internal sealed class Questionnaire(IQuestions questions)
{
    private readonly ConfigSection _values = new ClusterConfig([]).WithDefaults().Values;
    private string _type = DistributedTypes.None;

    /// <summary>Asks everything; returns the values of the file.</summary>
    public ConfigSection Run()
    {
        _values[ConfigKeys.SameNetwork] = true;
        string[] types = [DistributedTypes.None, DistributedTypes.MultiCpu, DistributedTypes.MultiGpu];
        _type = types[questions.Choose("Which kind of machine are you using?", ["No distributed training", "multi-CPU", "multi-GPU"])];
        var machines = _type == DistributedTypes.None ? 1 : Machines();
        var onCpu = _type == DistributedTypes.MultiCpu
            || (_type == DistributedTypes.None && questions.Confirm("Do you want to run on the CPU only, even if there is a GPU?"));
        if (_type == DistributedTypes.MultiCpu && questions.Confirm("Do you want to start the processes with mpirun?"))
            _values[ConfigKeys.Mpirun] = new ConfigSection { ["mpirun_hostfile"] = ConfigLocation.Expand(questions.Ask("Where is the hostfile of mpirun?", "~/hostfile")) };
        if (!onCpu) Sharding(machines);
        var processes = Processes(machines);
        if (!onCpu && _type is DistributedTypes.None or DistributedTypes.MultiGpu) Devices(machines, processes);

        // A DeepSpeed file says the precision itself.
        if ((_values[ConfigKeys.DeepSpeed] as ConfigSection)?["deepspeed_config_file"] is null)
        {
            var precision = questions.Pick("Which mixed precision do you want to use?", ConfigKeys.Precisions, "no");
            _values[ConfigKeys.MixedPrecision] = precision;
            if (precision == "fp8") _values[ConfigKeys.Fp8] = Fp8Questions.Ask(questions);
        }
        _values[ConfigKeys.DistributedType] = _type;
        _values[ConfigKeys.UseCpu] = onCpu;
        _values[ConfigKeys.NumProcesses] = processes;
        _values[ConfigKeys.NumMachines] = machines;
        return _values;
    }

    private int Machines()
    {
        var machines = questions.Whole("How many machines will you use?", 1, minimum: 1);
        if (machines > 1)
        {
            _values[ConfigKeys.MachineRank] = questions.Whole("Which rank has this machine, from 0?", 0, minimum: 0, rank => rank < machines ? null : $"There are {machines} machines: 0 to {machines - 1}.");
            _values[ConfigKeys.MainProcessIp] = questions.Ask("What is the address of the machine of rank 0?");
            _values[ConfigKeys.MainProcessPort] = questions.Whole("At which port of it do the processes meet?", 29500, minimum: 1, port => port <= 65535 ? null : "Ports end at 65535.");
            var sameNetwork = questions.Confirm("Are all machines on the same local network?", defaultAnswer: true);
            _values[ConfigKeys.SameNetwork] = sameNetwork;
            if (!sameNetwork) _values[ConfigKeys.RdzvBackend] = questions.Ask("Which rendezvous backend do you want to use?", "static");
        }
        _values[ConfigKeys.Debug] = questions.Confirm("Do you want each collective operation checked while it runs? It costs time and finds what would hang.");
        return machines;
    }

    private void Sharding(int machines)
    {
        if (questions.Confirm("Do you want to use DeepSpeed (ZeRO)?"))
        {
            _type = DistributedTypes.DeepSpeed;
            _values[ConfigKeys.DeepSpeed] = DeepSpeedQuestions.Ask(questions, machines);
        }
        else if (_type == DistributedTypes.MultiGpu && questions.Confirm("Do you want to shard the model with FSDP?"))
        {
            _type = DistributedTypes.Fsdp;
            _values[ConfigKeys.Fsdp] = FsdpQuestions.Ask(questions);
        }
    }

    private int Processes(int machines)
    {
        if (_type == DistributedTypes.None) return 1;
        var isOneMachine = machines == 1;
        var question = isOneMachine
            ? _type == DistributedTypes.MultiCpu ? "How many processes do you want to run?" : "How many GPUs do you want to use?"
            : "How many processes do you want to run, over all machines?";
        var minimum = isOneMachine && _type == DistributedTypes.MultiGpu ? 2 : 1;
        return questions.Whole(question, Math.Max(machines, minimum), minimum,
            processes => processes % machines == 0 ? null : $"{processes} cannot be divided among {machines} machines.");
    }

    private void Devices(int machines, int processes)
    {
        _values[ConfigKeys.GpuIds] = questions.Ask("Which GPUs of this machine do you want to use, as numbers separated by commas?", "all", answer =>
        {
            if (answer == "all") return null;
            var ids = answer.Split(',', StringSplitOptions.TrimEntries);
            return ids.Length == 0 || !ids.All(id => id.Length > 0 && id.All(char.IsAsciiDigit)) ? "Type numbers separated by commas, or all."
                : ids.Distinct().Count() != ids.Length ? "A GPU is named twice."
                : ids.Length < processes / machines ? $"{processes / machines} processes of this machine need as many GPUs."
                : null;
        }).Replace(" ", "", StringComparison.Ordinal);
        _values[ConfigKeys.EnableCpuAffinity] = questions.Confirm("Do you want each process bound to the cores that are nearest to its GPU?");
    }
}

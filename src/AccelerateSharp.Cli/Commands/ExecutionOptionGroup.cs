using System.CommandLine;
using AccelerateSharp.Cli.Help;
using AccelerateSharp.Cli.Launch;

namespace AccelerateSharp.Cli.Commands;

/// <summary>The options of <c>accelerate launch</c> about restarts, the meeting of machines, logs, CPUs and MPI.</summary>
internal sealed class ExecutionOptionGroup
{
    private readonly Option<int?> _maxRestarts = OptionNames.Create<int?>("--max_restarts", "How often all workers are started again after one failed. Default: 0.");
    private readonly Option<double?> _monitorInterval = OptionNames.Create<double?>("--monitor_interval", "Accepted for torchrun's sake: the end of a worker is noticed at once.");
    private readonly Option<string?> _machines = OptionNames.Create<string?>("--nnodes", "Number of machines, or MIN:MAX: machines may then join and leave.");
    private readonly Option<string?> _backend = OptionNames.Create<string?>("--rdzv_backend", "static: --machine_rank counts. c10d: ranks by arrival. Default: static, c10d with MIN:MAX.");
    private readonly Option<string?> _conf = OptionNames.Create<string?>("--rdzv_conf", "Times of the rendezvous, in seconds: join_timeout=600,last_call_timeout=30; is_host=true|false.");
    private readonly Option<string?> _runId = OptionNames.Create<string?>("--rdzv_id", "Name of the job, the same on all machines. Default: a random one.");
    private readonly Option<bool> _sameNetwork = OptionNames.Create<bool>("--same_network", "The machines share a network: listen at --main_process_ip alone, not at every address.");
    private readonly Option<string?> _logs = OptionNames.Create<string?>("--log_dir", "Folder for what each worker prints: one folder for each job, attempt and local rank.");
    private readonly Option<string?> _tee = OptionNames.Create<string?>("--tee", "What goes to files too: 0 nothing, 1 stdout, 2 stderr, 3 both; or by local rank: 0:3,1:1. Default: 3 with --log_dir.");
    private readonly Option<string?> _role = OptionNames.Create<string?>("--role", "Name of these workers, in front of what they print. Default: default.");

    private readonly Option<bool> _affinity = OptionNames.Create<bool>("--enable_cpu_affinity", "Keep each worker on the CPUs of one NUMA node: that of its GPU.");
    private readonly Option<string?> _hostFile = OptionNames.Create<string?>("--mpirun_hostfile", "Start the workers with mpirun, on the machines that this file lists.");
    private readonly Option<int?> _ccl = OptionNames.Create<int?>("--mpirun_ccl", "oneCCL's worker threads (CCL_WORKER_COUNT), for programs that use it.");

    public ExecutionOptionGroup()
    {
        _tee.Aliases.Add("-t");
        (_machines.HelpName, _backend.HelpName, _conf.HelpName, _runId.HelpName) = ("N|MIN:MAX", "NAME", "K=V,...", "ID");
        (_logs.HelpName, _tee.HelpName, _role.HelpName, _hostFile.HelpName, _monitorInterval.HelpName) = ("DIR", "STREAMS", "NAME", "FILE", "SECONDS");
    }

    public void AddTo(Command command)
    {
        command.Group("Machines that meet", _machines, _sameNetwork, _backend, _conf, _runId);
        command.Group("Restarts", _maxRestarts, _monitorInterval);
        command.Group("Output", _logs, _tee, _role);
        command.Group("CPUs and MPI", _affinity, _hostFile, _ccl);
    }

    public ExecutionOptions Read(ParseResult parsed) => new()
    {
        MaxRestarts = parsed.GetValue(_maxRestarts),
        MonitorInterval = parsed.GetValue(_monitorInterval),
        Machines = parsed.GetValue(_machines),
        RendezvousBackend = parsed.GetValue(_backend),
        RendezvousConf = parsed.GetValue(_conf),
        RunId = parsed.GetValue(_runId),
        SameNetwork = parsed.GetValue(_sameNetwork),
        LogFolder = parsed.GetValue(_logs),
        Tee = parsed.GetValue(_tee),
        Role = parsed.GetValue(_role),
        CpuAffinity = parsed.GetValue(_affinity),
        MpiHostFile = parsed.GetValue(_hostFile),
        MpiCcl = parsed.GetValue(_ccl),
    };
}

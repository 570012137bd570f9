using System.CommandLine;
using AccelerateSharp.Cli.Estimation;
using AccelerateSharp.Estimation;
using AccelerateSharp.Estimation.Planning;
using AccelerateSharp.Files;
using AccelerateSharp.Hub;
using AccelerateSharp.Safetensors;

namespace AccelerateSharp.Cli.Commands;

/// <summary><c>accelerate estimate-memory</c>.</summary>
internal static class EstimateMemoryCommand
{
    public static Command Create()
    {
        var model = new Argument<string>("model")
        {
            HelpName = "MODEL",
            Description = "A model on the Hub (organisation/name), a folder, a .safetensors file, a sharded index, or a config.json.",
        };
        var dtypes = OptionNames.Create<string[]>("--dtypes", "The dtypes to estimate for. Default: all but bfloat16.");
        dtypes.AllowMultipleArgumentsPerToken = true;
        dtypes.AcceptOnlyFromAmong([.. ReferenceEstimate.Dtypes]);
        var revision = OptionNames.Create<string>("--revision", "The branch, tag or commit of a model on the Hub.");
        revision.DefaultValueFactory = _ => "main";
        var library = OptionNames.Create<string?>("--library_name", "Accepted and without effect: shapes come from headers and config.json.");
        library.AcceptOnlyFromAmong("timm", "transformers");
        var trust = OptionNames.Create<bool>("--trust_remote_code", "Accepted and without effect: no code of a model is ever run.");
        var gpus = OptionNames.Create<int?>("--num_gpus", "Plan for this many GPUs, over all machines. Default with --gpu_memory: 1.");
        var machines = OptionNames.Create<int>("--num_machines", "The machines that the GPUs are spread over.");
        machines.DefaultValueFactory = _ => 1;
        var memory = OptionNames.Create<string?>("--gpu_memory", "Memory of each GPU: 80GiB, 80GB, or 80 (GiB). Asks for a plan.");
        var batch = OptionNames.Create<int>("--batch_size", "Sequences in a batch of each GPU.");
        batch.DefaultValueFactory = _ => 1;
        var sequence = OptionNames.Create<int>("--sequence_length", "Tokens in a sequence.");
        sequence.DefaultValueFactory = _ => 512;
        var optimizer = OptionNames.Create<string>("--optimizer", "The optimizer whose states count.");
        optimizer.DefaultValueFactory = _ => OptimizerKind.AdamW.Name();
        optimizer.AcceptOnlyFromAmong([.. OptimizerKinds.Names]);
        var rank = OptionNames.Create<int?>("--lora_rank", "Train LoRA adapters of this rank on the blocks' matrices instead of all weights.");
        var precision = OptionNames.Create<string>("--mixed_precision", "Precision of the computation.");
        precision.DefaultValueFactory = _ => "bf16";
        precision.AcceptOnlyFromAmong("no", "fp16", "bf16", "fp8");
        var config = OptionNames.Create<string?>("--write_config", "Write the configuration of the fastest plan that fits to this file.");
        var json = OptionNames.Create<bool>("--json", "Print JSON, with all sizes in bytes.");
        var command = new Command("estimate-memory", "Tells how much memory a model takes, and the ways to train it that fit your GPUs.")
        {
            model, dtypes, gpus, memory, machines, batch, sequence, optimizer, rank, precision, config, json, revision, library, trust,
        };
        Option[] planning = [gpus, machines, batch, sequence, optimizer, rank, precision, config];
        command.SetAction((parsed, cancellationToken) =>
        {
            var asked = planning.FirstOrDefault(option => parsed.GetResult(option) is { Implicit: false });
            if (parsed.GetValue(memory) is null && asked is not null)
                throw new UserErrorException($"{asked.Name} asks for a plan, which needs --gpu_memory, for instance --gpu_memory 80GiB.");
            if (parsed.GetValue(library) is not null || parsed.GetValue(trust))
                Console.Error.WriteLine("accelerate: --library_name and --trust_remote_code have no effect: no code of a model is run.");
            return RunAsync(new EstimateOptions
            {
                Model = parsed.GetRequiredValue(model),
                Revision = parsed.GetRequiredValue(revision),
                Dtypes = parsed.GetValue(dtypes) is { Length: > 0 } chosen ? [.. chosen.Distinct()] : ReferenceEstimate.DefaultDtypes,
                ConfigFile = parsed.GetValue(config),
                Json = parsed.GetValue(json),
                GpuMemory = parsed.GetValue(memory),
                Gpus = parsed.GetValue(gpus) ?? 1,
                Machines = parsed.GetValue(machines),
                BatchSize = parsed.GetValue(batch),
                SequenceLength = parsed.GetValue(sequence),
                Optimizer = OptimizerKinds.Parse(parsed.GetRequiredValue(optimizer)),
                LoraRank = parsed.GetValue(rank),
                MixedPrecision = parsed.GetRequiredValue(precision),
            }, cancellationToken);
        });
        return command;
    }

    private static async Task<int> RunAsync(EstimateOptions options, CancellationToken cancellationToken)
    {
        try
        {
            var request = options.ToRequest();
            var model = await ModelLoader.LoadAsync(options.Model, options.Revision, Environment.GetEnvironmentVariable, cancellationToken);
            var estimate = Estimate.Of(model, options.Dtypes, request);
            if (options.Json) EstimateJson.Write(estimate);
            else EstimateTables.Write(estimate);
            if (options.ConfigFile is { } file) WriteConfig(estimate, file);
            return 0;
        }
        catch (Exception e) when (e is EstimationException or HubException or SafetensorsException or IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException(e.Message);
        }
        catch (OverflowException)
        {
            throw new UserErrorException($"'{options.Model}': its shapes are too large to be a model's.");
        }
    }

    private static void WriteConfig(Estimate estimate, string file)
    {
        if (estimate.Fastest is not { } plan)
            throw new UserErrorException($"No plan fits, so {file} was not written. Use more or larger GPUs, a smaller batch, --optimizer adamw_8bit or --lora_rank.");
        var path = Path.GetFullPath(file);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        AtomicFile.Write(path, PlanConfig.ToYaml(plan, estimate.Request!));
        Console.Error.WriteLine($"accelerate: wrote {file} ({plan.Name}).");
    }
}

using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>A Llama of the Hub over several processes: the same losses as on one, which every rank computes beside it.</summary>
internal static class ModelScenarios
{
    private const int Rows = 8;

    private static LlamaConfig Config => new()
    {
        VocabSize = 97,
        HiddenSize = 32,
        IntermediateSize = 48,
        NumHiddenLayers = 3,
        NumAttentionHeads = 4,
        NumKeyValueHeads = 2,
        TieWordEmbeddings = true,
        InitializerRange = 0.2,
    };

    /// <summary>Arguments: what to train with, of <c>ddp</c>, <c>fsdp</c>, <c>lora-ddp</c>, <c>lora-fsdp</c>.</summary>
    [Scenario]
    public static void LlamaEquality(WorkerContext context)
    {
        foreach (var way in context.Arguments) Run(way, context.Rank);
    }

    private static void Run(string way, int rank)
    {
        var (sharded, adapted) = (way.EndsWith("fsdp", StringComparison.Ordinal), way.StartsWith("lora", StringComparison.Ordinal));
        var accelerator = new Accelerator(cpu: true, fsdpPlugin: sharded ? new FullyShardedDataParallelPlugin { AutoWrapPolicy = AutoWrapPolicy.TransformerBasedWrap } : null);
        Accelerator.SetSeed(7);
        using var reference = new LlamaForCausalLM(Config);
        Accelerator.SetSeed(7);
        using var model = new LlamaForCausalLM(Config);
        var (trainedAlone, trained) = (reference.parameters().ToList(), model.parameters().ToList());
        LoraAdapter? adapter = null;
        if (adapted)
        {
            var config = new LoraConfig { R = 4, LoraAlpha = 16, TargetModules = ["q_proj", "down_proj"] };
            manual_seed(3);
            trainedAlone = [.. LoraAdapter.Attach(reference, config).Parameters];
            manual_seed(3);
            adapter = LoraAdapter.Attach(model, config);
            trained = [.. adapter.Parameters];
        }

        using var plain = optim.AdamW(trainedAlone, lr: 1e-2);
        using var made = optim.AdamW(trained, lr: 1e-2);
        var (prepared, optimizer) = accelerator.Prepare(model, made);
        Accelerator.SetSeed(1234);
        for (var step = 0; step < 6; step++)
        {
            using var scope = NewDisposeScope();
            var tokens = randint(0, 97, [Rows, 9]);
            plain.zero_grad();
            var expected = reference.call(new() { InputIds = tokens, Labels = tokens }).Loss;
            expected.backward();
            plain.step();

            var share = tokens.narrow(0, rank * Rows / accelerator.NumProcesses, Rows / accelerator.NumProcesses);
            optimizer.zero_grad();
            var loss = prepared.call(new() { InputIds = share, Labels = share }).Loss;
            accelerator.Backward(loss);
            optimizer.step();
            Expect.Close(expected.item<float>(), accelerator.Reduce(loss, "mean").item<float>(), 1e-5, $"{way}: loss of step {step}");
        }

        Save(accelerator, way, prepared, reference, adapter);
        accelerator.FreeMemory();
    }

    /// <summary>What the main process saves is what one process has trained.</summary>
    private static void Save(Accelerator accelerator, string way, LlamaForCausalLM model, LlamaForCausalLM reference, LoraAdapter? adapter)
    {
        var state = accelerator.GetStateDict(model);
        if (!accelerator.IsMainProcess) return;
        var folder = Directory.CreateTempSubdirectory().FullName;
        using var scope = NewDisposeScope();
        var tokens = randint(0, 97, [2, 9]);
        CausalLanguageModel saved;
        if (adapter is null)
        {
            model.SavePretrained(folder, state);
            saved = (CausalLanguageModel)PretrainedModel.FromPretrained(folder);
        }
        else
        {
            adapter.Save(folder, state);
            Accelerator.SetSeed(7);
            saved = new LlamaForCausalLM(Config);
            LoraAdapter.Load(saved, folder);
        }
        var (actual, expected) = (saved.call(tokens).Logits, reference.call(tokens).Logits);
        var difference = (actual - expected).abs().max().item<float>();
        Expect.True(difference < 1e-3, $"{way}: saved logits differ from one process's by {difference}");
        saved.Dispose();
        Directory.Delete(folder, recursive: true);
    }
}

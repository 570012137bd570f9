#!/usr/bin/env dotnet
#:project ../src/AccelerateSharp.Models/AccelerateSharp.Models.csproj
#:property PublishAot=false

// Fine-tunes a Llama (or Mistral, Qwen, GPT-2) on a text: all of its weights, or with --lora a small adapter beside them.
//
//   accelerate launch --cpu --num_processes 2 examples/finetune-llama.cs                      a small Llama that it makes itself
//   accelerate launch --mixed_precision bf16 --use_fsdp --fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP \
//     --num_processes 8 examples/finetune-llama.cs --model Llama-3.1-8B --output mine         a model of the Hub, sharded
//   accelerate launch --mixed_precision bf16 examples/finetune-llama.cs --model Llama-3.1-8B --lora --output adapter
//
// [--text FILE] [--steps 40] [--batch 4] [--context 64] [--lr 0] [--accumulate 1] [--rank 16] [--checkpointing] [--seed 42]

using System.Globalization;
using AccelerateSharp;
using static TorchSharp.torch;

var options = Options.Parse(args);
var accelerator = new Accelerator(gradientAccumulationSteps: options.Accumulate);
Accelerator.SetSeed(options.Seed);

var (model, tokenizer) = Start.Model(options, accelerator);
var blocks = TextBlocks.Read(options.Text, tokenizer, options.Context);
var heldOut = blocks.Count / 10;
var trainLoader = BatchLoader.FromTensor(blocks.Tokens[heldOut..], options.Batch, shuffle: true);
var heldOutLoader = BatchLoader.FromTensor(blocks.Tokens[..heldOut], options.Batch);

var adapter = options.Lora ? LoraAdapter.Attach(model, new()
{
    R = options.Rank,
    LoraAlpha = 2 * options.Rank,
    TargetModules = [LoraConfig.AllLinear],
    TaskType = "CAUSAL_LM",
    BaseModelNameOrPath = options.Model,
}) : null;
if (options.Checkpointing) ActivationCheckpointing.Apply(model);
var trained = adapter?.Parameters ?? model.parameters();
var optimizer = new FusedAdamW(trained, lr: options.LearningRate, weight_decay: options.Lora ? 0 : 0.1);
var scheduler = optim.lr_scheduler.LambdaLR(optimizer, WarmUpThenCosine(options.Steps * accelerator.NumProcesses));
var counts = (Trained: trained.Sum(p => p.numel()), All: model.parameters().Sum(p => p.numel()));
(model, optimizer, trainLoader, heldOutLoader, scheduler) = accelerator.Prepare(model, optimizer, trainLoader, heldOutLoader, scheduler);

accelerator.Print($"{blocks.Count} blocks of {options.Context} tokens; training {counts.Trained:N0} of {counts.All:N0} parameters; {accelerator.NumProcesses} processes");
accelerator.Print($"held-out loss before: {HeldOutLoss():F3} nats per token");

model.train();
using (var progress = new ProgressBar(options.Steps, plainInterval: TimeSpan.FromSeconds(5)))
{
    while (progress.Done < options.Steps)
    {
        foreach (var tokens in trainLoader)
        {
            using var window = accelerator.Accumulate(model);
            var loss = model.call(new() { InputIds = tokens, Labels = tokens }).Loss;
            accelerator.Backward(loss);
            if (accelerator.SyncGradients) accelerator.ClipGradNorm(model.parameters(), 1.0);
            optimizer.step();
            scheduler.step();
            optimizer.zero_grad();
            if (accelerator.SyncGradients) progress.Advance(() => $"loss {loss.item<float>():F3}, rate {scheduler.get_last_lr().First():E1}");
            if (progress.Done == options.Steps) break;
        }
    }
}

accelerator.Print($"held-out loss after: {HeldOutLoss():F3} nats per token");
if (options.Output is { } output)
{
    // Of a sharded model the parts come together: on every rank, though one writes.
    var weights = accelerator.GetStateDict(model);
    accelerator.OnMainProcess(() =>
    {
        if (adapter is null) model.SavePretrained(output, weights);
        else adapter.Save(output, weights);
        tokenizer.SavePretrained(output);
        Console.WriteLine($"saved to {output}");
    });
}

accelerator.EndTraining();

// The mean over every held-out block, whichever process has read it.
double HeldOutLoss()
{
    using var noGradient = no_grad();
    model.eval();
    var losses = new List<float>();
    foreach (var tokens in heldOutLoader)
    {
        var loss = model.call(new() { InputIds = tokens, Labels = tokens }).Loss;
        losses.AddRange(accelerator.GatherForMetrics(loss.expand(tokens.shape[0])).cpu().data<float>());
    }
    return losses.Average();
}

static Func<int, double> WarmUpThenCosine(int total) => step =>
{
    var warmUp = Math.Max(1, total / 10);
    if (step < warmUp) return (step + 1.0) / warmUp;
    return 0.1 + (0.9 * (1 + Math.Cos(Math.PI * Math.Min(1, (step - warmUp) / (double)Math.Max(1, total - warmUp)))) / 2);
};

/// <summary>What training starts from.</summary>
internal static class Start
{
    public static (CausalLanguageModel Model, PretrainedTokenizer Tokenizer) Model(Options options, Accelerator accelerator)
    {
        if (options.Model is { } folder)
            return ((CausalLanguageModel)PretrainedModel.FromPretrained(folder, ScalarType.Float32), PretrainedTokenizer.FromPretrained(folder));

        accelerator.Print("No --model is given: this trains a small Llama with random weights, made here. It shows how, and learns a little.");
        var tokenizers = options.Data("tokenizers/mistral");
        if (!Directory.Exists(tokenizers)) throw new DirectoryNotFoundException($"{tokenizers} is missing: scripts/setup.sh fetches it with npm; or name a model of your own with --model FOLDER.");
        var tokenizer = PretrainedTokenizer.FromPretrained(tokenizers);
        var model = new LlamaForCausalLM(new LlamaConfig
        {
            VocabSize = tokenizer.VocabularySize,
            HiddenSize = 64,
            IntermediateSize = 172,
            NumHiddenLayers = 3,
            NumAttentionHeads = 4,
            NumKeyValueHeads = 2,
            TieWordEmbeddings = true,
            EosTokenId = [2],
        });
        return (model, tokenizer);
    }
}

/// <summary>A text as blocks of equally many tokens, int64 [blocks, context].</summary>
internal sealed record TextBlocks(Tensor Tokens)
{
    public int Count => (int)Tokens.shape[0];

    public static TextBlocks Read(string file, PretrainedTokenizer tokenizer, int context)
    {
        if (!File.Exists(file)) throw new FileNotFoundException($"The text {file} is missing: scripts/setup.sh fetches it, or name another with --text FILE.");
        // Paragraph by paragraph, as tokenizers are slow on one text of megabytes.
        var paragraphs = File.ReadAllText(file).Split("\n\n", StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        var tokens = new List<long>();
        foreach (var paragraph in paragraphs.Take(Options.MaxParagraphs)) tokens.AddRange(tokenizer.Encode(paragraph).Ids.Select(id => (long)id));
        var count = tokens.Count / context;
        if (count < 20) throw new InvalidDataException($"{file} has {tokens.Count} tokens: too few for blocks of {context}.");
        return new TextBlocks(tensor(tokens[..(count * context)].ToArray()).view(count, context));
    }
}

/// <summary>What the command line may change.</summary>
internal sealed record Options
{
    /// <summary>Enough for every step of the defaults; a whole book would be tokenized for nothing.</summary>
    public const int MaxParagraphs = 1000;

    private static readonly string _examples = AppContext.GetData("EntryPointFileDirectoryPath") as string ?? AppContext.BaseDirectory;

    public string? Model { get; init; }
    public string? Output { get; init; }
    public int Steps { get; init; } = 40;
    public int Batch { get; init; } = 4;
    public int Context { get; init; } = 64;
    public int Accumulate { get; init; } = 1;
    public double Rate { get; init; }
    public bool Lora { get; init; }
    public int Rank { get; init; } = 16;
    public bool Checkpointing { get; init; }
    public int Seed { get; init; } = 42;
    public string Text { get; init; } = Path.GetFullPath("../data/text/jargon.txt", _examples);

    /// <summary>New weights learn at once; trained ones are changed gently.</summary>
    public double LearningRate => Rate > 0 ? Rate : Model is null ? 3e-3 : Lora ? 2e-4 : 2e-5;

    public string Data(string path) => Path.GetFullPath("../data/" + path, _examples);

    public static Options Parse(string[] args)
    {
        var options = new Options();
        var i = 0;
        for (; i < args.Length; i++)
        {
            options = args[i] switch
            {
                "--model" => options with { Model = Value() },
                "--output" => options with { Output = Value() },
                "--text" => options with { Text = Value() },
                "--steps" => options with { Steps = Number() },
                "--batch" => options with { Batch = Number() },
                "--context" => options with { Context = Number() },
                "--accumulate" => options with { Accumulate = Number() },
                "--lr" => options with { Rate = double.Parse(Value(), CultureInfo.InvariantCulture) },
                "--lora" => options with { Lora = true },
                "--rank" => options with { Rank = Number() },
                "--checkpointing" => options with { Checkpointing = true },
                "--seed" => options with { Seed = Number() },
                var unknown => throw new ArgumentException($"{unknown} is no option of this example."),
            };
        }
        return options;

        string Value() => ++i < args.Length ? args[i] : throw new ArgumentException($"{args[i - 1]} needs a value.");
        int Number() => int.Parse(Value(), CultureInfo.InvariantCulture);
    }
}

#!/usr/bin/env dotnet
#:project ../src/AccelerateSharp.Models/AccelerateSharp.Models.csproj
#:property PublishAot=false

// Says whether a sentence praises or complains: a BERT on 1,000 sentences out of reviews, with BERT's own vocabulary.
//
//   accelerate launch --cpu --num_processes 2 examples/text-classification.cs [--model FOLDER] [--epochs 8] [--mixed_precision bf16] ...
//
// Without --model a small BERT is trained from nothing, since no pretrained one comes with the data; with it, any BERT or RoBERTa of the
// Hub is fine-tuned (--lr 2e-5 --epochs 3 suit those).

using AccelerateSharp;
using static TorchSharp.torch;

var options = Options.Parse(args);
var accelerator = new Accelerator(mixedPrecision: options.Precision, gradientAccumulationSteps: options.Accumulate);
Accelerator.SetSeed(options.Seed);

var tokenizer = PretrainedTokenizer.FromPretrained(options.Model ?? Options.Data("tokenizers/bert-base-uncased"));
var (train, test) = Reviews.Load(options.DataFile);
var trainLoader = BatchLoader.FromDataset(train, options.Batch, Collate, shuffle: true);
var testLoader = BatchLoader.FromDataset(test, 4 * options.Batch, Collate);
var updates = options.Epochs * trainLoader.Count / options.Accumulate;

var model = options.Model is { } folder
    ? AutoModelForSequenceClassification.FromPretrained(folder, numLabels: 2)
    : new BertForSequenceClassification(new BertConfig
    {
        VocabSize = tokenizer.VocabularySize,
        HiddenSize = options.Width,
        IntermediateSize = 2 * options.Width,
        NumHiddenLayers = options.Layers,
        NumAttentionHeads = 4,
        MaxPositionEmbeddings = options.MaxLength,
        HiddenDropoutProb = options.Dropout,
        AttentionProbsDropoutProb = options.Dropout,
        InitializerRange = 0.05,
    });
var optimizer = new FusedAdamW(model.parameters(), options.LearningRate, weight_decay: 0.01);
var scheduler = optim.lr_scheduler.LambdaLR(optimizer, WarmUpThenLinear);

var parameters = model.parameters().Sum(p => p.numel());
(model, optimizer, trainLoader, testLoader, scheduler) = accelerator.Prepare(model, optimizer, trainLoader, testLoader, scheduler);

accelerator.Print($"{train.Count:N0} sentences to learn from, {test.Count:N0} to be asked about; {parameters:N0} parameters; {accelerator.NumProcesses} processes");
accelerator.Print(options.Model is null ? "A small BERT from random weights: no pretrained model comes with the data." : $"Fine-tuning {options.Model}.");

var step = 0L;
var steps = Math.Min(options.MaxSteps, options.Epochs * trainLoader.Count);
for (var epoch = 1; epoch <= options.Epochs && step < steps; epoch++)
{
    model.train();
    var losses = new List<Tensor>();
    using var progress = new ProgressBar(Math.Min(trainLoader.Count, steps - step));
    foreach (var batch in trainLoader)
    {
        using (accelerator.Accumulate(model))
        {
            var loss = model.call(batch).Loss;
            accelerator.Backward(loss);
            accelerator.ClipGradNorm(model.parameters(), 1.0);
            optimizer.step();
            scheduler.step();
            optimizer.zero_grad();
            losses.Add(loss.detach().DetachFromDisposeScope());
        }
        progress.Advance(() => $"loss {losses[^1].item<float>():F3}");
        if (++step == steps) break;
    }
    progress.Dispose();
    var (accuracy, f1) = Evaluate();
    accelerator.Print($"epoch {epoch,2}: training loss {Mean(losses):F4}, accuracy {accuracy:P1}, F1 {f1:P1}");
}

if (options.Save is { } target)
{
    // All processes have a part in it where the model is sharded.
    var weights = accelerator.GetStateDict(model);
    accelerator.OnMainProcess(() =>
    {
        accelerator.UnwrapModel(model).SavePretrained(target, weights);
        tokenizer.SavePretrained(target);
    });
}
accelerator.EndTraining();

ModelInputs Collate(IReadOnlyList<Review> reviews) =>
    tokenizer.EncodeBatch([.. reviews.Select(review => review.Text)], maxLength: options.MaxLength).ToInputs(labels: tensor(reviews.Select(review => review.Label).ToArray()));

// Accuracy, and F1 of praise, over every sentence of the test set, whichever process has read it.
(double Accuracy, double F1) Evaluate()
{
    using var noGradient = no_grad();
    model.eval();
    var (right, asked, found, praised, meant) = (0L, 0L, 0L, 0L, 0L);
    foreach (var batch in testLoader)
    {
        var (answers, truth) = accelerator.GatherForMetrics((model.call(batch).Logits.argmax(1), batch.Labels!));
        right += (answers == truth).sum().item<long>();
        found += (answers * truth).sum().item<long>();
        praised += answers.sum().item<long>();
        meant += truth.sum().item<long>();
        asked += truth.numel();
    }
    return (right / (double)asked, 2.0 * found / Math.Max(1, praised + meant));
}

// The mean over the epoch and over all processes.
double Mean(List<Tensor> losses)
{
    using var scope = NewDisposeScope();
    var mean = accelerator.Reduce(stack(losses).mean(), "mean").item<float>();
    foreach (var loss in losses) loss.Dispose();
    return mean;
}

// Up from nothing in a straight line over the first tenth of the updates, then down again.
double WarmUpThenLinear(int update)
{
    var warmUp = Math.Max(1, updates / 10);
    return update < warmUp ? update / (double)warmUp : Math.Max(0, (updates - update) / (double)Math.Max(1, updates - warmUp));
}

/// <summary>A sentence, and 1 where it praises.</summary>
internal sealed record Review(string Text, long Label);

/// <summary>Lines of a sentence, a tab, and 0 or 1. A fifth of them, drawn once and for all, is the test set.</summary>
internal static class Reviews
{
    public static (IReadOnlyList<Review> Train, IReadOnlyList<Review> Test) Load(string file)
    {
        if (!File.Exists(file)) throw new FileNotFoundException($"The sentences {file} are missing: scripts/setup.sh fetches them, or name another file with --data FILE.");
        var reviews = File.ReadAllLines(file).Select(line => line.Split('\t')).Where(parts => parts.Length == 2).Select(parts => new Review(parts[0].Trim(), long.Parse(parts[1]))).ToArray();
        new Random(0).Shuffle(reviews);
        return (reviews[(reviews.Length / 5)..], reviews[..(reviews.Length / 5)]);
    }
}

/// <summary>What the command line may change.</summary>
internal sealed record Options
{
    public string? Model { get; init; }
    public string? Save { get; init; }
    public int Epochs { get; init; } = 8;
    public long MaxSteps { get; init; } = long.MaxValue;
    public int Batch { get; init; } = 8;
    public int Accumulate { get; init; } = 1;
    public int MaxLength { get; init; } = 64;
    public int Width { get; init; } = 128;
    public int Layers { get; init; } = 2;
    public double Dropout { get; init; } = 0.2;
    public double LearningRate { get; init; } = 1e-3;
    public int Seed { get; init; } = 42;
    public MixedPrecision? Precision { get; init; }
    public string DataFile { get; init; } = Data("amazon-reviews/sentences.txt");

    public static string Data(string name) => Path.GetFullPath("../data/" + name, AppContext.GetData("EntryPointFileDirectoryPath") as string ?? AppContext.BaseDirectory);

    public static Options Parse(string[] args)
    {
        var options = new Options();
        for (var i = 0; i < args.Length; i += 2)
            options = (args[i], i + 1 < args.Length ? args[i + 1] : throw new ArgumentException($"{args[i]} needs a value.")) switch
            {
                ("--model", var value) => options with { Model = value },
                ("--save", var value) => options with { Save = value },
                ("--epochs", var value) => options with { Epochs = int.Parse(value) },
                ("--steps", var value) => options with { MaxSteps = long.Parse(value) },
                ("--batch", var value) => options with { Batch = int.Parse(value) },
                ("--gradient_accumulation_steps", var value) => options with { Accumulate = int.Parse(value) },
                ("--max_length", var value) => options with { MaxLength = int.Parse(value) },
                ("--width", var value) => options with { Width = int.Parse(value) },
                ("--layers", var value) => options with { Layers = int.Parse(value) },
                ("--dropout", var value) => options with { Dropout = double.Parse(value) },
                ("--lr", var value) => options with { LearningRate = double.Parse(value) },
                ("--seed", var value) => options with { Seed = int.Parse(value) },
                ("--mixed_precision", var value) => options with { Precision = Enum.Parse<MixedPrecision>(value, ignoreCase: true) },
                ("--data", var value) => options with { DataFile = value },
                var (unknown, _) => throw new ArgumentException($"{unknown} is no option of this example."),
            };
        return options;
    }
}

#!/usr/bin/env dotnet
#:project ../src/AccelerateSharp/AccelerateSharp.csproj
#:property PublishAot=false

// Reads handwritten digits: a small convolutional network on 1,797 real scans of 8 x 8 pixels, through TorchSharp's own
// Dataset and DataLoader.
//
//   accelerate launch --cpu --num_processes 2 examples/digits.cs [--epochs 12] [--batch 16] [--seed 42] [--data FILE]

using AccelerateSharp;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

var options = Options.Parse(args);
var accelerator = new Accelerator();
Accelerator.SetSeed(options.Seed);

var (train, test) = Digits.Load(options.DataFile);
var trainLoader = new DataLoader(train, options.Batch, shuffle: true);
var testLoader = new DataLoader(test, 64, shuffle: false);

var model = Sequential(
    Conv2d(1, 32, kernel_size: 3, padding: 1), ReLU(),
    Conv2d(32, 64, kernel_size: 3, padding: 1), ReLU(), MaxPool2d(2),
    Flatten(), Linear(64 * 4 * 4, 128), ReLU(), Dropout(0.3), Linear(128, 10));
var optimizer = optim.AdamW(model.parameters(), lr: 2e-3);

(model, optimizer, trainLoader, testLoader) = accelerator.Prepare(model, optimizer, trainLoader, testLoader);

accelerator.Print($"{train.Count:N0} digits to learn from, {test.Count:N0} to be asked about; {model.parameters().Sum(p => p.numel()):N0} parameters; {accelerator.NumProcesses} processes");
accelerator.Print($"before training: {Accuracy():P1} of the test digits right");
for (var epoch = 1; epoch <= options.Epochs; epoch++)
{
    model.train();
    foreach (var batch in trainLoader)
    {
        optimizer.zero_grad();
        var loss = functional.cross_entropy(model.call(batch["image"]), batch["digit"]);
        accelerator.Backward(loss);
        optimizer.step();
    }
    accelerator.Print($"epoch {epoch,2}/{options.Epochs}: {Accuracy():P1} of the test digits right");
}
accelerator.EndTraining();

// Over the whole test set, whichever process has read a digit.
double Accuracy()
{
    using var noGradient = no_grad();
    model.eval();
    var (right, asked) = (0L, 0L);
    foreach (var batch in testLoader)
    {
        var hits = accelerator.GatherForMetrics(model.call(batch["image"]).argmax(1) == batch["digit"]);
        right += hits.sum().item<long>();
        asked += hits.numel();
    }
    return right / (double)asked;
}

/// <summary>One digit per row: 64 pixels of 0 to 16, then the digit. A fifth of them, drawn once and for all, is the test set.</summary>
internal sealed class Digits(Tensor images, Tensor labels) : torch.utils.data.Dataset
{
    public override long Count => images.shape[0];

    public override Dictionary<string, Tensor> GetTensor(long index) => new() { ["image"] = images[index], ["digit"] = labels[index] };

    public static (Digits Train, Digits Test) Load(string file)
    {
        if (!File.Exists(file)) throw new FileNotFoundException($"The digits {file} are missing: scripts/setup.sh fetches them, or name another file with --data FILE.");
        var rows = File.ReadAllLines(file).Select(line => Array.ConvertAll(line.Split(','), float.Parse)).ToArray();
        new Random(0).Shuffle(rows);
        var images = tensor(rows.SelectMany(row => row[..64]).ToArray()).view(-1, 1, 8, 8) / 16;
        var labels = tensor(rows.Select(row => (long)row[64]).ToArray());
        var held = rows.Length / 5;
        return (new Digits(images[held..], labels[held..]), new Digits(images[..held], labels[..held]));
    }
}

/// <summary>What the command line may change.</summary>
internal sealed record Options
{
    public int Epochs { get; init; } = 12;
    public int Batch { get; init; } = 16;
    public int Seed { get; init; } = 42;
    public string DataFile { get; init; } = Path.GetFullPath("../data/digits/digits.csv", AppContext.GetData("EntryPointFileDirectoryPath") as string ?? AppContext.BaseDirectory);

    public static Options Parse(string[] args)
    {
        var options = new Options();
        for (var i = 0; i < args.Length; i += 2)
            options = (args[i], i + 1 < args.Length ? args[i + 1] : throw new ArgumentException($"{args[i]} needs a value.")) switch
            {
                ("--epochs", var value) => options with { Epochs = int.Parse(value) },
                ("--batch", var value) => options with { Batch = int.Parse(value) },
                ("--seed", var value) => options with { Seed = int.Parse(value) },
                ("--data", var value) => options with { DataFile = value },
                var (unknown, _) => throw new ArgumentException($"{unknown} is no option of this example."),
            };
        return options;
    }
}

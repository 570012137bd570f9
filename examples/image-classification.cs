#!/usr/bin/env dotnet
#:project ../src/AccelerateSharp.Models/AccelerateSharp.Models.csproj
#:property PublishAot=false

// Tells ten kinds of clothes apart: Fashion-MNIST, 60,000 grey images of 28 x 28 pixels, by a small Vision Transformer or a convolutional network.
//
//   accelerate launch --cpu --num_processes 2 examples/image-classification.cs [--model vit|cnn] [--epochs 1] [--mixed_precision bf16] ...

using System.Buffers.Binary;
using System.IO.Compression;
using AccelerateSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

var options = Options.Parse(args);
var accelerator = new Accelerator(mixedPrecision: options.Precision);
Accelerator.SetSeed(options.Seed);

var train = Clothes.Load(options.DataFolder, "train", options.Images);
var test = Clothes.Load(options.DataFolder, "t10k", options.TestImages);
var trainLoader = BatchLoader.FromTensors(train.Images, train.Labels, options.Batch, shuffle: true, dropLast: true);
var testLoader = BatchLoader.FromTensors(test.Images, test.Labels, 4 * options.Batch);
var updates = options.Epochs * trainLoader.Count;

Module<Tensor, Tensor> model = options.Model == "cnn"
    ? Sequential(
        Conv2d(1, 32, kernel_size: 3, padding: 1), ReLU(), MaxPool2d(2),
        Conv2d(32, 64, kernel_size: 3, padding: 1), ReLU(), MaxPool2d(2),
        Flatten(), Linear(64 * 7 * 7, 128), ReLU(), Linear(128, 10))
    : new ImageTransformer(new ViTConfig
    {
        ImageSize = 28,
        PatchSize = 7,
        NumChannels = 1,
        HiddenSize = options.Width,
        IntermediateSize = 2 * options.Width,
        NumHiddenLayers = options.Layers,
        NumAttentionHeads = 4,
        NumLabels = 10,
        InitializerRange = 0.08,
    });
var optimizer = new FusedAdamW(model.parameters(), options.LearningRate, weight_decay: 0.01);
var scheduler = optim.lr_scheduler.LambdaLR(optimizer, OneCycle);

var parameters = model.parameters().Sum(p => p.numel());
(model, optimizer, trainLoader, testLoader, scheduler) = accelerator.Prepare(model, optimizer, trainLoader, testLoader, scheduler);

accelerator.Print($"{train.Images.shape[0]:N0} images to learn from, {test.Images.shape[0]:N0} to be asked about; {options.Model} of {parameters:N0} parameters; {accelerator.NumProcesses} processes");

var step = 0L;
var steps = Math.Min(options.MaxSteps, options.Epochs * trainLoader.Count);
for (var epoch = 1; epoch <= options.Epochs && step < steps; epoch++)
{
    model.train();
    var losses = new List<Tensor>();
    using var progress = new ProgressBar(Math.Min(trainLoader.Count, steps - step));
    foreach (var (images, labels) in trainLoader)
    {
        var loss = functional.cross_entropy(model.call(images), labels);
        accelerator.Backward(loss);
        optimizer.step();
        scheduler.step();
        optimizer.zero_grad();
        losses.Add(loss.detach().DetachFromDisposeScope());
        progress.Advance(() => $"loss {losses[^1].item<float>():F3}");
        if (++step == steps) break;
    }
    progress.Dispose();
    accelerator.Print($"epoch {epoch,2}: training loss {Mean(losses):F4}, accuracy {Accuracy():P1}");
}
accelerator.EndTraining();

// Over the whole test set, whichever process has seen an image.
double Accuracy()
{
    using var noGradient = no_grad();
    model.eval();
    var (right, asked) = (0L, 0L);
    foreach (var (images, labels) in testLoader)
    {
        var hits = accelerator.GatherForMetrics(model.call(images).argmax(1) == labels);
        right += hits.sum().item<long>();
        asked += hits.numel();
    }
    return right / (double)asked;
}

// The mean over the epoch and over all processes.
double Mean(List<Tensor> losses)
{
    using var scope = NewDisposeScope();
    var mean = accelerator.Reduce(stack(losses).mean(), "mean").item<float>();
    foreach (var loss in losses) loss.Dispose();
    return mean;
}

// Up over the first quarter of the updates and down to nothing, each along half a cosine.
double OneCycle(int update)
{
    var (top, end) = (updates / 4.0, Math.Max(1.0, updates));
    return update < top ? 0.04 + 0.96 * (1 - Math.Cos(Math.PI * update / top)) / 2 : (1 + Math.Cos(Math.PI * Math.Min(1, (update - top) / (end - top)))) / 2;
}

/// <summary>A Vision Transformer that is called with images and answers with scores, as every other network here.</summary>
internal sealed class ImageTransformer : Module<Tensor, Tensor>
{
    private readonly ViTForImageClassification _model;

    public ImageTransformer(ViTConfig config) : base(nameof(ImageTransformer))
    {
        _model = new ViTForImageClassification(config);
        RegisterComponents();
    }

    public override Tensor forward(Tensor images) => _model.call(new() { PixelValues = images }).Logits;
}

/// <summary>The IDX files of the MNIST family: big-endian sizes, then one byte per pixel or label.</summary>
internal static class Clothes
{
    /// <summary>Images as [n, 1, 28, 28] with mean 0 and deviation 1, labels as [n].</summary>
    public static (Tensor Images, Tensor Labels) Load(string folder, string part, int limit)
    {
        var pixels = Read(Path.Combine(folder, $"{part}-images-idx3-ubyte.gz"), dimensions: 3);
        var labels = Read(Path.Combine(folder, $"{part}-labels-idx1-ubyte.gz"), dimensions: 1);
        var count = Math.Min(limit, labels.Length);
        using var scope = NewDisposeScope();
        var images = tensor(pixels.AsSpan(0, count * 28 * 28).ToArray(), [count, 1, 28, 28]).to(float32);
        return (((images / 255 - 0.2860) / 0.3530).MoveToOuterDisposeScope(), tensor(labels.AsSpan(0, count).ToArray()).to(int64).MoveToOuterDisposeScope());
    }

    private static byte[] Read(string file, int dimensions)
    {
        if (!File.Exists(file)) throw new FileNotFoundException($"{file} is missing: scripts/setup.sh fetches it, or name another folder with --data FOLDER.");
        using var content = new MemoryStream();
        using (var compressed = new GZipStream(File.OpenRead(file), CompressionMode.Decompress)) compressed.CopyTo(content);
        var bytes = content.ToArray();
        if (bytes.Length < 4 + 4 * dimensions || BinaryPrimitives.ReadInt32BigEndian(bytes) != 0x800 + dimensions) throw new InvalidDataException($"{file} is no IDX file of bytes in {dimensions} dimensions.");
        return bytes[(4 + 4 * dimensions)..];
    }
}

/// <summary>What the command line may change.</summary>
internal sealed record Options
{
    public string Model { get; init; } = "vit";
    public int Epochs { get; init; } = 1;
    public long MaxSteps { get; init; } = long.MaxValue;
    public int Images { get; init; } = 60_000;
    public int TestImages { get; init; } = 10_000;
    public int Batch { get; init; } = 32;
    public int Width { get; init; } = 64;
    public int Layers { get; init; } = 3;
    public double LearningRate { get; init; } = 2e-3;
    public int Seed { get; init; } = 42;
    public MixedPrecision? Precision { get; init; }
    public string DataFolder { get; init; } = Path.GetFullPath("../data/fashion-mnist", AppContext.GetData("EntryPointFileDirectoryPath") as string ?? AppContext.BaseDirectory);

    public static Options Parse(string[] args)
    {
        var options = new Options();
        for (var i = 0; i < args.Length; i += 2)
            options = (args[i], i + 1 < args.Length ? args[i + 1] : throw new ArgumentException($"{args[i]} needs a value.")) switch
            {
                ("--model", var value) => options with { Model = value is "vit" or "cnn" ? value : throw new ArgumentException($"--model is vit or cnn, not {value}.") },
                ("--epochs", var value) => options with { Epochs = int.Parse(value) },
                ("--steps", var value) => options with { MaxSteps = long.Parse(value) },
                ("--images", var value) => options with { Images = int.Parse(value) },
                ("--test_images", var value) => options with { TestImages = int.Parse(value) },
                ("--batch", var value) => options with { Batch = int.Parse(value) },
                ("--width", var value) => options with { Width = int.Parse(value) },
                ("--layers", var value) => options with { Layers = int.Parse(value) },
                ("--lr", var value) => options with { LearningRate = double.Parse(value) },
                ("--seed", var value) => options with { Seed = int.Parse(value) },
                ("--mixed_precision", var value) => options with { Precision = Enum.Parse<MixedPrecision>(value, ignoreCase: true) },
                ("--data", var value) => options with { DataFolder = value },
                var (unknown, _) => throw new ArgumentException($"{unknown} is no option of this example."),
            };
        return options;
    }
}

#!/usr/bin/env dotnet
#:project ../src/AccelerateSharp/AccelerateSharp.csproj
#:property PublishAot=false

// Trains a small GPT, character by character, on the lexicon of the Jargon File, and lets it write.
//
//   accelerate launch --cpu --num_processes 2 examples/text-generation.cs [--epochs 2] [--batch 8] [--seed 42] ...

using System.Text;
using AccelerateSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

var options = Options.Parse(args);
var accelerator = new Accelerator();
Accelerator.SetSeed(options.Seed);

var corpus = Corpus.Load(options.TextFile, options.Context);
var trainLoader = BatchLoader.FromTensors(corpus.Train.Inputs, corpus.Train.Targets, options.Batch, shuffle: true);
var heldOutLoader = BatchLoader.FromTensors(corpus.HeldOut.Inputs, corpus.HeldOut.Targets, 4 * options.Batch);
var schedule = new WarmUpThenCosine(total: options.Epochs * trainLoader.Count);

var model = new Gpt(corpus.Vocabulary.Length, options.Context, options.Width, options.Layers, options.Heads);
var optimizer = optim.AdamW(model.parameters(), options.LearningRate, beta2: 0.99, weight_decay: 0.1);
var scheduler = optim.lr_scheduler.LambdaLR(optimizer, schedule.Factor);

(model, optimizer, trainLoader, heldOutLoader, scheduler) = accelerator.Prepare(model, optimizer, trainLoader, heldOutLoader, scheduler);

accelerator.Print($"{corpus.Text.Length:N0} characters of {corpus.Vocabulary.Length} kinds; {model.parameters().Sum(p => p.numel()):N0} parameters; {accelerator.NumProcesses} processes");
accelerator.Print($"held-out loss before training: {HeldOutLoss():F3} nats per character");

var steps = Math.Min(options.MaxSteps, options.Epochs * trainLoader.Count);
var charactersPerStep = accelerator.NumProcesses * options.Batch * options.Context;
for (var (epoch, step) = (1, 0L); epoch <= options.Epochs && step < steps; epoch++)
{
    model.train();
    using var progress = new ProgressBar(Math.Min(trainLoader.Count, steps - step) * charactersPerStep, "characters", plainInterval: TimeSpan.FromSeconds(5));
    foreach (var (inputs, targets) in trainLoader)
    {
        optimizer.zero_grad();
        var loss = functional.cross_entropy(model.call(inputs).flatten(0, 1), targets.flatten());
        accelerator.Backward(loss);
        accelerator.ClipGradNorm(model.parameters(), 1.0);
        optimizer.step();
        scheduler.step();
        progress.Advance(() => $"loss {loss.item<float>():F3}, lr {scheduler.get_last_lr().First():F5}", charactersPerStep);
        if (++step == steps) break;
    }
    progress.Dispose();
    accelerator.Print($"held-out loss after epoch {epoch}: {HeldOutLoss():F3} nats per character");
}

accelerator.OnMainProcess(() => Console.WriteLine($"\n{Generate(accelerator.UnwrapModel(model), corpus, options)}"));
accelerator.EndTraining();

// The mean over every held-out character, whichever process has read it.
double HeldOutLoss()
{
    using var noGradient = no_grad();
    model.eval();
    var losses = new List<float>();
    foreach (var (inputs, targets) in heldOutLoader)
    {
        var ofWindows = functional.cross_entropy(model.call(inputs).transpose(1, 2), targets, reduction: Reduction.None).mean([1]);
        losses.AddRange(accelerator.GatherForMetrics(ofWindows).cpu().data<float>());
    }
    return losses.Average();
}

static string Generate(Gpt model, Corpus corpus, Options options)
{
    using var noGradient = no_grad();
    model.eval();
    var text = new StringBuilder(options.Prompt);
    for (var i = 0; i < options.SampleLength; i++)
    {
        using var scope = NewDisposeScope();
        var tail = text.ToString()[^Math.Min(text.Length, options.Context)..];
        var input = corpus.Encode(tail).unsqueeze(0).to(model.parameters().First().device);
        var probabilities = functional.softmax(model.call(input)[0, -1] / options.Temperature, 0);
        text.Append(corpus.Vocabulary[(int)multinomial(probabilities, 1).item<long>()]);
    }
    return text.ToString();
}

/// <summary>A decoder-only transformer with pre-norm blocks and learned positions. [batch, time] in, [batch, time, vocabulary] out.</summary>
internal sealed class Gpt : Module<Tensor, Tensor>
{
    private readonly Embedding _tokens;
    private readonly Embedding _positions;
    private readonly ModuleList<Block> _blocks;
    private readonly LayerNorm _norm;
    private readonly Linear _head;

    public Gpt(int vocabulary, int context, int width, int layers, int heads) : base(nameof(Gpt))
    {
        _tokens = Embedding(vocabulary, width);
        _positions = Embedding(context, width);
        _blocks = new ModuleList<Block>([.. Enumerable.Range(0, layers).Select(_ => new Block(width, heads))]);
        _norm = LayerNorm(width);
        _head = Linear(width, vocabulary, hasBias: false);
        RegisterComponents();

        // Wide enough for a network this narrow to learn from the first step; what adds to the residual stream starts smaller.
        foreach (var (name, parameter) in named_parameters())
            if (parameter.dim() == 2) init.normal_(parameter, 0, name.EndsWith("Out.weight", StringComparison.Ordinal) ? 0.08 / Math.Sqrt(2 * layers) : 0.08);
    }

    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var x = _tokens.call(input) + _positions.call(arange(input.shape[1], device: input.device));
        foreach (var block in _blocks) x = block.call(x);
        return _head.call(_norm.call(x)).MoveToOuterDisposeScope();
    }
}

/// <summary>Causal self-attention, then a two-layer perceptron, each added to what came in.</summary>
internal sealed class Block : Module<Tensor, Tensor>
{
    private readonly int _heads;
    private readonly LayerNorm _attentionNorm;
    private readonly Linear _attentionIn;
    private readonly Linear _attentionOut;
    private readonly LayerNorm _perceptronNorm;
    private readonly Linear _perceptronIn;
    private readonly Linear _perceptronOut;

    public Block(int width, int heads) : base(nameof(Block))
    {
        _heads = heads;
        _attentionNorm = LayerNorm(width);
        _attentionIn = Linear(width, 3 * width);
        _attentionOut = Linear(width, width);
        _perceptronNorm = LayerNorm(width);
        _perceptronIn = Linear(width, 4 * width);
        _perceptronOut = Linear(4 * width, width);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var attended = input + _attentionOut.call(Attend(_attentionIn.call(_attentionNorm.call(input))));
        var inner = functional.gelu(_perceptronIn.call(_perceptronNorm.call(attended)));
        return (attended + _perceptronOut.call(inner)).MoveToOuterDisposeScope();
    }

    private Tensor Attend(Tensor projected)
    {
        var (batch, time, width) = (projected.shape[0], projected.shape[1], projected.shape[2] / 3);
        var heads = projected.view(batch, time, 3, _heads, width / _heads).permute(2, 0, 3, 1, 4).unbind(0);
        var mixed = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2], is_casual: true);
        return mixed.transpose(1, 2).reshape(batch, time, width);
    }
}

/// <summary>The text as windows of token numbers, each with its targets: the same window one character on. Every twentieth is held out.</summary>
internal sealed class Corpus
{
    private readonly Dictionary<char, long> _numbers;

    private Corpus(string text, int context)
    {
        Text = text;
        Vocabulary = string.Concat(text.Distinct().Order());
        _numbers = Vocabulary.Index().ToDictionary(p => p.Item, p => (long)p.Index);
        var windows = Encode(text).unfold(0, context + 1, context);
        var heldOut = arange(windows.shape[0]) % 20 == 0;
        (Train, HeldOut) = (Split(windows[~heldOut]), Split(windows[heldOut]));
    }

    public string Text { get; }
    public string Vocabulary { get; }
    public (Tensor Inputs, Tensor Targets) Train { get; }
    public (Tensor Inputs, Tensor Targets) HeldOut { get; }

    public Tensor Encode(string text) => tensor(text.Select(c => _numbers[c]).ToArray());

    /// <summary>Paragraphs of printable ASCII: tables, headings and line breaks inside of a paragraph are left out.</summary>
    public static Corpus Load(string file, int context)
    {
        if (!File.Exists(file)) throw new FileNotFoundException($"The text {file} is missing: scripts/setup.sh fetches it, or name another with --text FILE.");
        var text = new StringBuilder();
        foreach (var paragraph in File.ReadAllText(file).Split("\n\n"))
        {
            var line = string.Join(' ', paragraph.Split('\n', StringSplitOptions.TrimEntries));
            if (line.Length > 60 && line[0] is not ('│' or '┌' or '├')) text.Append(line).Append('\n');
        }
        text.Replace('‘', '\'').Replace('’', '\'').Replace('“', '"').Replace('”', '"').Replace("—", "--").Replace("…", "...");
        return new Corpus(string.Concat(text.ToString().Where(c => c is '\n' or >= ' ' and <= '~')), context);
    }

    private static (Tensor, Tensor) Split(Tensor windows) => (windows[.., ..^1].contiguous(), windows[.., 1..].contiguous());
}

/// <summary>Factors on the learning rate: up in a straight line over the first tenth, then down to a twentieth along a cosine.</summary>
internal sealed class WarmUpThenCosine(long total)
{
    public double Factor(int step)
    {
        var warmUp = Math.Clamp(total / 10, 1, 200);
        if (step < warmUp) return (step + 1.0) / warmUp;
        var done = Math.Min(1.0, (step - warmUp) / (double)Math.Max(1, total - warmUp));
        return 0.05 + 0.95 * (1 + Math.Cos(Math.PI * done)) / 2;
    }
}

/// <summary>What the command line may change.</summary>
internal sealed record Options
{
    public int Epochs { get; init; } = 2;
    public long MaxSteps { get; init; } = long.MaxValue;
    public int Batch { get; init; } = 8;
    public int Context { get; init; } = 64;
    public int Width { get; init; } = 128;
    public int Layers { get; init; } = 4;
    public int Heads { get; init; } = 4;
    public double LearningRate { get; init; } = 3e-3;
    public double Temperature { get; init; } = 0.7;
    public int Seed { get; init; } = 42;
    public string Prompt { get; init; } = "A hacker is ";
    public int SampleLength { get; init; } = 500;
    public string TextFile { get; init; } = Path.GetFullPath("../data/text/jargon.txt", AppContext.GetData("EntryPointFileDirectoryPath") as string ?? AppContext.BaseDirectory);

    public static Options Parse(string[] args)
    {
        var options = new Options();
        var i = 0;
        for (; i < args.Length; i++)
            options = args[i] switch
            {
                "--epochs" => options with { Epochs = int.Parse(Value()) },
                "--steps" => options with { MaxSteps = long.Parse(Value()) },
                "--batch" => options with { Batch = int.Parse(Value()) },
                "--context" => options with { Context = int.Parse(Value()) },
                "--width" => options with { Width = int.Parse(Value()) },
                "--layers" => options with { Layers = int.Parse(Value()) },
                "--heads" => options with { Heads = int.Parse(Value()) },
                "--lr" => options with { LearningRate = double.Parse(Value()) },
                "--temperature" => options with { Temperature = double.Parse(Value()) },
                "--seed" => options with { Seed = int.Parse(Value()) },
                "--prompt" => options with { Prompt = Value() },
                "--sample" => options with { SampleLength = int.Parse(Value()) },
                "--text" => options with { TextFile = Value() },
                var unknown => throw new ArgumentException($"{unknown} is no option of this example."),
            };
        return options;

        string Value() => ++i < args.Length ? args[i] : throw new ArgumentException($"{args[i - 1]} needs a value.");
    }
}

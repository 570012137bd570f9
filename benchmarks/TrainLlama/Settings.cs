using System.Globalization;

namespace AccelerateSharp.Benchmarks.TrainLlama;

/// <summary>The command line.</summary>
internal sealed record Settings
{
    public string Preset { get; private init; } = "160m";

    public int Batch { get; private init; } = 16;

    public int Length { get; private init; } = 1024;

    /// <summary>Null: what the environment says.</summary>
    public MixedPrecision? Precision { get; private init; }

    public string Strategy { get; private init; } = "none";

    public string Optimizer { get; private init; } = "fused-adamw";

    public bool PlainLoss { get; private init; }

    public bool Checkpointing { get; private init; }

    public bool Offload { get; private init; }

    /// <summary>Steps whose forward, backward and optimizer are timed apart.</summary>
    public int Parts { get; private init; } = 5;

    /// <summary>Where the timeline of one step goes; null: none is recorded.</summary>
    public string? Timeline { get; private init; }

    public int Steps { get; private init; } = 20;

    public int WarmUp { get; private init; } = 5;

    public double LearningRate { get; private init; } = 1e-4;

    public bool Cpu { get; private init; }

    /// <summary>A folder with <c>config.json</c> and safetensors; null: new weights.</summary>
    public string? Weights { get; private init; }

    public static Settings Parse(string[] args)
    {
        var settings = new Settings();
        for (var i = 0; i < args.Length; i++)
        {
            settings = args[i] switch
            {
                "--preset" => settings with { Preset = args[++i] },
                "--batch" => settings with { Batch = Number(args[++i]) },
                "--seq" => settings with { Length = Number(args[++i]) },
                "--precision" => settings with { Precision = Enum.Parse<MixedPrecision>(args[++i], ignoreCase: true) },
                "--strategy" => settings with { Strategy = args[++i] },
                "--optimizer" => settings with { Optimizer = args[++i] },
                "--plain-loss" => settings with { PlainLoss = true },
                "--fused-loss" => settings with { PlainLoss = false },
                "--checkpointing" => settings with { Checkpointing = true },
                "--offload" => settings with { Offload = true },
                "--parts" => settings with { Parts = Number(args[++i]) },
                "--timeline" => settings with { Timeline = args[++i] },
                "--steps" => settings with { Steps = Number(args[++i]) },
                "--warm-up" => settings with { WarmUp = Number(args[++i]) },
                "--lr" => settings with { LearningRate = double.Parse(args[++i], CultureInfo.InvariantCulture) },
                "--cpu" => settings with { Cpu = true },
                "--weights" => settings with { Weights = args[++i] },
                var other => throw new ArgumentException($"There is no option {other}; see the first lines of benchmarks/TrainLlama/Program.cs."),
            };
        }

        return settings;
    }

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);
}

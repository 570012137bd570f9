using System.Diagnostics;
using System.Globalization;
using AccelerateSharp.Diagnostics;
using AccelerateSharp.Launch;
using AccelerateSharp.SelfTest.Parts;
using TorchSharp;

namespace AccelerateSharp.SelfTest;

/// <summary>Runs every part as one rank, under <c>accelerate test</c>; the only argument is the folder for the results.</summary>
internal static class Program
{
    /// <summary>A machine on which a small collective takes longer than this has a problem that the user wants to hear about.</summary>
    private static readonly InitProcessGroupKwargs _patience = new() { Timeout = TimeSpan.FromSeconds(60), RendezvousTimeout = TimeSpan.FromSeconds(120) };

    private static int Main(string[] args)
    {
        if (args.Length != 1)
        {
            Console.Error.WriteLine("This program is a part of `accelerate test`, which starts it.");
            return 2;
        }
        var rank = int.Parse(Environment.GetEnvironmentVariable(EnvironmentVariables.Rank) ?? "0", CultureInfo.InvariantCulture);
        var file = SelfTestLog.FileOf(args[0], rank);
        Accelerator accelerator = null!;
        (string Name, Action<Findings> Run)[] parts =
        [
            (SelfTestLog.Parts[0], findings => accelerator = Start(findings)),
            (SelfTestLog.Parts[1], findings => Collectives.Run(accelerator, findings)),
            (SelfTestLog.Parts[2], findings => LoaderSharding.Run(accelerator, findings)),
            (SelfTestLog.Parts[3], findings => MetricsGathering.Run(accelerator, findings)),
            (SelfTestLog.Parts[4], findings => TrainingEquality.Run(accelerator, findings, steps: 1)),
            (SelfTestLog.Parts[5], findings => TrainingEquality.Run(accelerator, findings, steps: 20)),
            (SelfTestLog.Parts[6], ShardedTraining.Run),
            (SelfTestLog.Parts[7], findings => Parts.Precision.Run(accelerator, findings)),
        ];
        foreach (var (name, run) in parts)
        {
            if (!Run(file, name, run)) return 1;
        }
        accelerator.EndTraining();
        return 0;
    }

    /// <returns>Whether the next part can follow: after an exception the ranks no longer agree on what comes next.</returns>
    private static bool Run(string file, string name, Action<Findings> part)
    {
        SelfTestLog.Append(file, new SelfTestRecord(name, Ended: false, []));
        var clock = Stopwatch.StartNew();
        var findings = new Findings();
        try
        {
            part(findings);
            SelfTestLog.Append(file, new SelfTestRecord(name, Ended: true, findings.Problems, Seconds: clock.Elapsed.TotalSeconds, Note: findings.Note));
            return true;
        }
        catch (Exception exception)
        {
            var cause = exception;
            while (cause is TypeInitializationException { InnerException: { } inner }) cause = inner;
            var isConsequence = FailureReport.Of(exception, peerIsLost: false).IsConsequence;
            SelfTestLog.Append(file, new SelfTestRecord(name, Ended: true, [.. findings.Problems, cause.Message], isConsequence, clock.Elapsed.TotalSeconds));
            return false;
        }
    }

    private static Accelerator Start(Findings findings)
    {
        // Whatever the configuration divides: most parts ask every process for whole weights, and sharded training has a part of its own.
        foreach (var name in (string[])[EnvironmentVariables.UseFsdp, EnvironmentVariables.UseDeepSpeed]) Environment.SetEnvironmentVariable(name, "false");
        // Training that equals that of one process is a matter of full precision; the configured one has a part of its own.
        var accelerator = new Accelerator(initProcessGroup: _patience, mixedPrecision: MixedPrecision.No);
        // Rounded to ten bits, sums of different orders would differ by more than an error does.
        torch.backends.cuda.matmul.allow_tf32 = false;
        torch.backends.cudnn.allow_tf32 = false;
        var state = accelerator.State.PartialState;
        findings.Note = $"{(accelerator.Device.type == DeviceType.CUDA ? "GPU" : "CPU")}, {(state.Backend is { } backend ? $"{backend}, " : "")}libtorch {torch.__version__}";
        return accelerator;
    }
}

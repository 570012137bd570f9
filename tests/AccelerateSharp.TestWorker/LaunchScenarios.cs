using static TorchSharp.torch;

namespace AccelerateSharp.TestWorker;

/// <summary>What a program is told by the launcher alone: it passes no setting to its accelerator.</summary>
internal static class LaunchScenarios
{
    private const int Width = 16;

    /// <summary>Trains a step and prints how it was trained, and how much of the model this rank holds.</summary>
    [Scenario]
    public static void ShowTraining()
    {
        var accelerator = new Accelerator();
        var whole = new ShardingModels.Stack(6);
        var total = whole.parameters().Sum(parameter => parameter.numel());
        var model = accelerator.Prepare(whole);
        var optimizer = accelerator.Prepare(optim.AdamW(model.parameters(), lr: 1e-3));
        using (NewDisposeScope())
        {
            var output = model.call(randn(4, Width).to(accelerator.Device));
            accelerator.Backward(output.sum());
            optimizer.step();
        }
        var held = model.parameters().Sum(parameter => parameter.numel());
        var plugin = accelerator.FsdpPlugin;
        Console.WriteLine(FormattableString.Invariant(
            $"rank {accelerator.ProcessIndex} of {accelerator.NumProcesses} {accelerator.DistributedType} {accelerator.Device.type} {accelerator.MixedPrecision} {accelerator.GradientAccumulationSteps} steps holds {held} of {total}")
            + (accelerator.Fp8Recipe is TERecipeKwargs recipe ? FormattableString.Invariant($" {recipe.Format} history {recipe.AmaxHistoryLen}") : "")
            + (accelerator.State.DeepSpeedPlugin is { } deepSpeed ? $" stage {deepSpeed.ZeroStage}" : "")
            + (plugin is null ? "" : $" {plugin.ShardingStrategy} {plugin.AutoWrapPolicy} {plugin.StateDictType} units {accelerator.EngineOf(model)!.Units.Count}"));
        accelerator.EndTraining();
    }
}

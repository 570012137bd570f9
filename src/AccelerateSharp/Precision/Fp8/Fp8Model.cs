using AccelerateSharp.Internal.Interop;
using TorchSharp.Modules;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>A prepared model whose linear layers compute in float8.</summary>
internal sealed class Fp8Model : IForwardRecipe, IDisposable
{
    [ThreadStatic]
    private static InputCache? _cache;

    private readonly Module _model;
    private readonly Fp8Linear[] _layers;
    private readonly DelayedScaling? _scaling;
    private readonly float _factor;
    private bool _looked;

    /// <param name="model">The model, on its device.</param>
    /// <param name="settings">The recipe.</param>
    /// <param name="isSharded">Whether the memory of weights comes and goes between forward and backward.</param>
    /// <param name="group">All ranks; null in a job of one process.</param>
    /// <param name="device">Where it computes.</param>
    /// <param name="errors">Where exceptions of its backward wait.</param>
    public Fp8Model(Module model, Fp8Settings settings, bool isSharded, ProcessGroup? group, Device device, BackwardErrors errors)
    {
        (_model, Settings, IsSharded, Errors) = (model, settings, isSharded, errors);
        _factor = MathF.Pow(2, -settings.Margin);
        Choice = LayerChoice.Of(model, settings);
        if (settings.Delayed is { } delayed && Choice.Chosen.Count > 0)
        {
            Float8Kind[] kinds = [.. Choice.Chosen.SelectMany(_ => new[] { settings.Forward, settings.Forward, settings.Backward })];
            _scaling = new DelayedScaling(kinds, delayed.HistoryLength, delayed.UseMax, settings.Margin, delayed.Interval, device);
        }

        if (settings.Level is { } level)
        {
            // A weight that other modules share would have to be read by them too.
            var own = ParameterSlots.Of(model).Where(slot => slot.Names.Count == 1 && slot.CanSwap).Select(slot => slot.Parameter).ToHashSet<Parameter>(ReferenceEqualityComparer.Instance);
            Gradients = new MsAmpGradients(
                model, [.. Choice.Chosen.Where(chosen => own.Contains(chosen.Layer.weight!)).Select(chosen => new MsAmpWeight(chosen.Name.Length == 0 ? "weight" : $"{chosen.Name}.weight", chosen.Layer.weight!, level))], group);
        }

        _layers = [.. Choice.Chosen.Select((chosen, i) => new Fp8Linear(chosen.Name, chosen.Layer, this, i))];
    }

    public Fp8Settings Settings { get; }

    public LayerChoice Choice { get; }

    public bool IsSharded { get; }

    public BackwardErrors Errors { get; }

    /// <summary>The scales of all layers; null under current scaling.</summary>
    public DelayedScaling? Scaling => _scaling;

    /// <summary>MS-AMP's weights and gradients; null under other recipes.</summary>
    public MsAmpGradients? Gradients { get; }

    /// <summary>This thread's.</summary>
    public InputCache Cache => _cache ??= new();

    /// <summary>Whether a forward that begins now computes in float8.</summary>
    public bool IsInForce => _model.training || Settings.InEvaluation;

    /// <summary>Whether a parameter is the weight of a layer that computes in float8.</summary>
    public bool Multiplies(Parameter parameter) => Choice.Chosen.Any(chosen => ReferenceEquals(chosen.Layer.weight, parameter));

    /// <summary>How to scale a tensor.</summary>
    public ScaleSource SourceOf(int slot) => _scaling?.SourceOf(slot, note: _model.training) ?? new ScaleSource(null, null, _factor);

    /// <summary>After a backward that ends a step.</summary>
    /// <param name="group">All ranks; null in a job of one process.</param>
    /// <returns>What to tell the user once; null where nothing is wrong.</returns>
    public string? AfterStep(ProcessGroup? group)
    {
        _scaling?.Advance(group);
        if (_looked) return null;
        _looked = true;
        var idle = _layers.Where(layer => !layer.HasComputed).Select(layer => layer.Name).ToList();
        return idle.Count == 0
            ? null
            : $"fp8: these layers did not compute in float8 in the first step: {string.Join(", ", idle)}. Either the model does not use them, or it calls their forward and not call, or a fused loss takes the place of the last one, in bfloat16.";
    }

    /// <inheritdoc/>
    public void EndForward()
    {
        LinearWindow.Close();
        _cache?.Dispose();
    }

    public void Dispose()
    {
        foreach (var layer in _layers) layer.Dispose();
        _scaling?.Dispose();
        Gradients?.Dispose();
    }
}

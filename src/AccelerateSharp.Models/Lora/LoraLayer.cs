using AccelerateSharp.Models.Gpt2;
using AccelerateSharp.Models.Internal;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Models.Lora;

/// <summary>The update of one linear layer: what its <c>call</c> returns becomes <c>W x + scale * B A x</c>.</summary>
/// <remarks>
/// The two matrices are children of the layer, <c>lora_A</c> and <c>lora_B</c>, so their parameters stand among the model's under the
/// names of the PEFT format; a hook on <c>call</c> adds their product. The layer stays the object that it is, and so does everything
/// that others know of it: parameter names, units of sharding, entries of device maps.
/// </remarks>
internal sealed class LoraLayer : IDisposable
{
    private readonly Module<Tensor, Tensor> _layer;
    private readonly Linear _down;
    private readonly Linear _up;
    private readonly double _scale;
    private readonly double _dropout;
    private readonly IDisposable _hook;
    private bool _isMerged;

    public LoraLayer(string name, Module layer, LoraConfig config, ScalarType dtype)
    {
        (Name, _layer, _scale, _dropout) = (name, (Module<Tensor, Tensor>)layer, config.Scale, config.LoraDropout);
        if (layer.named_children().Any(child => child.name == "lora_A"))
            throw new InvalidOperationException($"LoRA: '{name}' has an adapter already. Merge it, or remove it, before the next.");
        var weight = Weight;
        var device = weight.is_meta ? CPU : weight.device;
        var (outputs, inputs) = IsTransposed ? (weight.shape[1], weight.shape[0]) : (weight.shape[0], weight.shape[1]);
        _down = Linear(inputs, config.R, hasBias: false, device, dtype);
        _up = Linear(config.R, outputs, hasBias: false, device, dtype);
        using (no_grad()) init.zeros_(_up.weight!);
        layer.register_module("lora_A", _down);
        layer.register_module("lora_B", _up);
        var hook = _layer.register_forward_hook((_, input, output) => _isMerged ? output : Add(input, output));
        _hook = new Removal(hook.remove);
    }

    public string Name { get; }

    public IEnumerable<Parameter> Parameters => [_down.weight!, _up.weight!];

    /// <summary>The two matrices under their names in the PEFT format, without its prefix.</summary>
    public IEnumerable<(string Name, Parameter Parameter)> NamedParameters =>
        [($"{Name}.lora_A.weight", _down.weight!), ($"{Name}.lora_B.weight", _up.weight!)];

    /// <summary>GPT-2's layers have [inputs, outputs].</summary>
    private bool IsTransposed => _layer is Conv1D;

    private Parameter Weight => (Parameter)_layer.named_parameters(recurse: false).First(entry => entry.name == "weight").parameter;

    /// <summary>Adds the update to the weight, or takes it off again.</summary>
    public void Merge(bool merge)
    {
        if (merge == _isMerged) return;
        using var scope = NewDisposeScope();
        using var noGradient = no_grad();
        var weight = Weight;
        if (weight.is_meta || weight.dim() != 2 || weight.numel() == 0)
            throw new InvalidOperationException($"LoRA: the weight of '{Name}' is not here (sharded, offloaded or never loaded): merge on a model that is whole.");
        var update = _up.weight!.to(ScalarType.Float32).mm(_down.weight!.to(ScalarType.Float32)) * (merge ? _scale : -_scale);
        if (IsTransposed) update = update.t();
        weight.detach().copy_(weight.to(ScalarType.Float32) + update.to(weight.device));
        _isMerged = merge;
    }

    /// <summary>Takes the matrices and the hook off the layer.</summary>
    public void Dispose()
    {
        _hook.Dispose();
        // Registering nothing under a name takes it away.
        _layer.register_module("lora_A", null!);
        _layer.register_module("lora_B", null!);
        _down.Dispose();
        _up.Dispose();
    }

    private Tensor Add(Tensor input, Tensor output)
    {
        // Under autocast the products take what they are given.
        var dtype = _down.weight!.dtype;
        var given = input.dtype == dtype || AutocastDtype.TryGet(input.device.type, out _) ? input : input.to(dtype);
        if (_dropout > 0 && _layer.training) given = functional.dropout(given, _dropout, training: true);
        var update = _up.call(_down.call(given)) * _scale;
        return output + (update.dtype == output.dtype ? update : update.to(output.dtype));
    }

    private sealed class Removal(Action remove) : IDisposable
    {
        public void Dispose() => remove();
    }
}

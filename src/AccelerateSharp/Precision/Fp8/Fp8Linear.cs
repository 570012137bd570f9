using System.Runtime.CompilerServices;
using AccelerateSharp.Internal.Interop;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>One linear layer whose three products run in float8: output, gradient of the input, gradient of the weight.</summary>
internal sealed class Fp8Linear : IDisposable
{
    private static readonly ConditionalWeakTable<Linear, Fp8Linear> _known = [];

    private readonly Fp8Model _model;
    private readonly Linear _layer;
    private readonly int _firstSlot;
    private readonly MsAmpWeight? _stored;
    private readonly List<Action> _removers = [];

    /// <param name="name">Dotted.</param>
    /// <param name="layer">The layer; it stays what it is.</param>
    /// <param name="model">Whose recipe it follows.</param>
    /// <param name="index">Among the model's layers.</param>
    public Fp8Linear(string name, Linear layer, Fp8Model model, int index)
    {
        (Name, _layer, _model, _firstSlot) = (name, layer, model, index * SlotsPerLayer);
        if (layer.weight is { } weight && MsAmpWeight.TryFind(weight, out var stored)) _stored = stored;
        _known.AddOrUpdate(layer, this);
        var before = layer.register_forward_pre_hook((_, input) => BeforeForward(input));
        var after = layer.register_forward_hook((_, _, output) => AfterForward(output));
        _removers.AddRange([before.remove, after.remove]);
    }

    /// <summary>Input, weight, gradient of the output.</summary>
    public const int SlotsPerLayer = 3;

    public string Name { get; }

    /// <summary>Whether it has computed in float8 yet.</summary>
    public bool HasComputed { get; private set; }

    /// <summary>Whether whoever computes with a module's weight in another way, a fused loss for instance, may go around the hooks that this puts on it.</summary>
    /// <param name="module">Any module.</param>
    /// <returns>True for a layer in float8 whose weight is an ordinary one.</returns>
    public static bool MayBePassedOver(nn.Module module) => module is Linear layer && _known.TryGetValue(layer, out var known) && known._stored is null;

    public void Dispose()
    {
        _known.Remove(_layer);
        foreach (var remove in _removers) remove();
        _removers.Clear();
    }

    private Tensor BeforeForward(Tensor input)
    {
        // Outside of the recipe's region, in an island of full precision, or with an input that the layer will refuse in its own words.
        var underRecipe = ReferenceEquals(Autocast.Recipe, _model) && Autocast.IsEnabled(input.device.type);
        // A weight that is float8 itself can be multiplied in no other way.
        if (!underRecipe && _stored?.Master is null) return input;
        if (input.dtype is not (ScalarType.Float32 or ScalarType.BFloat16 or ScalarType.Float16)) return input;
        if (input.dim() < 1 || input.shape[^1] != _layer.in_features || input.numel() == 0) return input;
        using var scope = NewDisposeScope();
        LinearWindow.Open(_layer, input, Compute(input, underRecipe ? Autocast.Dtype(input.device.type) : ScalarType.Float32));
        HasComputed = true;
        return input;
    }

    private static Tensor AfterForward(Tensor output)
    {
        // A hook behind ours has changed the input: the layer has computed by itself, under autocast.
        return LinearWindow.Close() is { } bias ? output + bias : output;
    }

    /// <summary>The layer's output, with its backward.</summary>
    private Tensor Compute(Tensor input, ScalarType dtype)
    {
        var (weight, bias) = (_layer.weight!, _layer.bias);
        var learns = is_grad_enabled();
        var turnsInput = learns && weight.requires_grad && !_model.Settings.WeightGradientInBFloat16;
        var turnsWeight = learns && input.requires_grad && !_model.IsSharded;
        using var noGrad = no_grad();
        var matrix = input.reshape(-1, _layer.in_features).contiguous();
        using var quantizedInput = QuantizeInput(input, matrix, turnsInput);
        using var quantizedWeight = QuantizeWeight(weight, turnsWeight);
        var product = Float8Product.Multiply(
            quantizedInput.Codes!, quantizedInput.Inverse, quantizedWeight.Codes!, quantizedWeight.Inverse, dtype, bias, fastAccumulation: true);
        // Detached, so that autograd does not take it for a view, which nobody could write to.
        var output = product.view([.. input.shape[..^1], _layer.out_features]).detach();
        if (!learns) return output;

        var saved = new SavedOperands
        {
            Input = turnsInput ? quantizedInput.ShareTurned() : null,
            ExactInput = weight.requires_grad && !turnsInput ? matrix.detach().DetachFromDisposeScope() : null,
            Weight = turnsWeight ? quantizedWeight.ShareTurned() : null,
            ExactWeight = input.requires_grad && !turnsWeight ? weight.detach().DetachFromDisposeScope() : null,
        };
        var (shape, inputDtype) = (input.shape, input.dtype);
        Tensor[] inputs = bias is null ? [input, weight] : [input, weight, bias];
        var needs = Array.ConvertAll(inputs, tensor => tensor.requires_grad);
        using var grad = enable_grad();
        if (!AutogradNode.Attach(inputs, [output], gradients => Backward(gradients, saved, needs, shape, inputDtype), _model.Errors, saved, first: false)) saved.Dispose();
        return output;
    }

    private void Backward(GradientSlots gradients, SavedOperands saved, bool[] needs, long[] shape, ScalarType inputDtype)
    {
        if (gradients[0] is not { } arrived) return;
        if (saved.IsFreed)
        {
            throw new InvalidOperationException(
                $"fp8 layer '{Name}': a second backward through the same forward; what the first one needed is freed. Run the forward again, or add the losses and call Backward once.");
        }

        var gradient = arrived.reshape(-1, _layer.out_features).contiguous();
        var inFloat8 = saved.ExactInput is null;
        using var quantized = Quantize(gradient, 2, _model.Settings.Backward, plain: needs[0], turned: needs[1] && inFloat8);
        if (needs[0])
        {
            using var again = saved.Weight is null ? QuantizeWeight(saved.ExactWeight!, turned: true, plain: false) : null;
            var weight = saved.Weight ?? again!;
            gradients.PassOn(0, Float8Product.Multiply(quantized.Codes!, quantized.Inverse, weight.Turned!, weight.TurnedInverse, inputDtype).view(shape));
        }

        if (needs[1])
        {
            var weightGradient = inFloat8
                ? Float8Product.Multiply(quantized.Turned!, quantized.TurnedInverse, saved.Input!.Turned!, saved.Input.TurnedInverse, ScalarType.BFloat16)
                : gradient.t().matmul(saved.ExactInput!.to(gradient.dtype));
            if (_stored is null) gradients.PassOn(1, weightGradient);
            else _stored.AddGradient(weightGradient);
        }

        if (needs is [_, _, true]) gradients.PassOn(2, gradient.sum([0], type: ScalarType.Float32));
        // As libtorch does: what was saved goes as backward proceeds, and not when the loss does.
        saved.Dispose();
    }

    /// <summary>Layers that read the same tensor one after the other share its float8 form.</summary>
    private QuantizedMatrix QuantizeInput(Tensor input, Tensor matrix, bool turned)
    {
        if (!input.requires_grad) return Quantize(matrix, 0, _model.Settings.Forward, plain: true, turned);
        if (_model.Cache.Find(input, turned) is { } known) return known.Share();
        var quantized = Quantize(matrix, 0, _model.Settings.Forward, plain: true, turned);
        _model.Cache.Set(input, quantized.Share());
        return quantized;
    }

    private QuantizedMatrix QuantizeWeight(Tensor weight, bool turned, bool plain = true)
    {
        if (_stored?.Master is not null) return _stored.AsOperand(turned);
        return Quantize(weight.detach().contiguous(), 1, _model.Settings.Forward, plain, turned);
    }

    private QuantizedMatrix Quantize(Tensor matrix, int slot, Float8Kind kind, bool plain, bool turned) => _model.Settings.Rowwise
        ? Float8Quantizer.QuantizeRows(matrix, kind, plain, turned)
        : Float8Quantizer.Quantize(matrix, kind, _model.SourceOf(_firstSlot + slot), plain, turned);
}

using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using AccelerateSharp.Internal.Interop;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>The weight of a linear layer as MS-AMP stores it, and its gradient in float8.</summary>
/// <remarks>
/// The parameter object and its place in the model and the optimizer stay; the tensor behind it becomes one of float16 (O1, O2) or of
/// float8 (O3, with a scale and a float16 master weight beside it). Its gradient is quantised by its own largest magnitude the
/// moment it is computed, and seen by others as <c>parameter.grad</c> in float8; the scale is here.
/// </remarks>
internal sealed class MsAmpWeight : IDisposable
{
    /// <summary>Of gradients and of weights, as in MS-AMP.</summary>
    public const Float8Kind Kind = Float8Kind.E4M3;

    private static readonly ConditionalWeakTable<Parameter, MsAmpWeight> _known = [];

    private Tensor? _codes;
    private bool _hidden;

    /// <param name="name">Dotted.</param>
    /// <param name="parameter">In any floating-point dtype.</param>
    /// <param name="level">How much of it is in float8.</param>
    public MsAmpWeight(string name, Parameter parameter, MSAMPOptLevel level)
    {
        (Name, Parameter, Level) = (name, parameter, level);
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        GradientInverse = zeros(1, dtype: ScalarType.Float32, device: parameter.device).DetachFromDisposeScope();
        var half = parameter.detach().to(ScalarType.Float16).contiguous();
        if (level == MSAMPOptLevel.O3)
        {
            Master = half.DetachFromDisposeScope();
            Inverse = zeros(1, dtype: ScalarType.Float32, device: parameter.device).DetachFromDisposeScope();
            using var quantized = Float8Quantizer.Quantize(half, Kind, new ScaleSource(null, null));
            Inverse.copy_(quantized.Inverse);
            TensorStorage.SetData(parameter, quantized.Codes!);
        }
        else
        {
            TensorStorage.SetData(parameter, half);
        }

        _known.AddOrUpdate(parameter, this);
    }

    public string Name { get; }

    public Parameter Parameter { get; }

    public MSAMPOptLevel Level { get; }

    /// <summary>O3: the weights that the optimizer changes, float16.</summary>
    public Tensor? Master { get; }

    /// <summary>O3: what the weight's codes are multiplied with, one float32.</summary>
    public Tensor? Inverse { get; }

    /// <summary>What the gradient's codes are multiplied with, one float32.</summary>
    public Tensor GradientInverse { get; }

    /// <summary>The gradient in float8, of the parameter's shape; null where there is none.</summary>
    public Tensor? GradientCodes => _codes;

    /// <summary>The stored form of a parameter that MS-AMP has taken over.</summary>
    public static bool TryFind(Parameter parameter, [MaybeNullWhen(false)] out MsAmpWeight weight) => _known.TryGetValue(parameter, out weight);

    /// <summary>Those of some parameters whose gradients are seen now, in float8.</summary>
    public static IEnumerable<MsAmpWeight> Among(IEnumerable<Parameter> parameters)
    {
        foreach (var parameter in parameters)
            if (TryFind(parameter, out var weight) && weight is { _hidden: false, _codes: not null }) yield return weight;
    }

    /// <summary>Adds a gradient as it comes out of the product.</summary>
    public void AddGradient(Tensor gradient)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        SetGradient(_codes is null ? gradient.contiguous() : Gradient().add_(gradient));
    }

    /// <summary>The gradient in float32; there must be one.</summary>
    public Tensor Gradient() => Float8Quantizer.Dequantize(_codes!, GradientInverse);

    /// <summary>Replaces the gradient.</summary>
    public void SetGradient(Tensor gradient)
    {
        var quantized = Float8Quantizer.Quantize(gradient, Kind, new ScaleSource(null, null));
        GradientInverse.copy_(quantized.Inverse);
        quantized.Inverse.Dispose();
        SetCodes(quantized.Codes);
    }

    /// <summary>Replaces the gradient by codes whose scale is in <see cref="GradientInverse"/> already; null: there is none.</summary>
    public void SetCodes(Tensor? codes)
    {
        _codes?.Dispose();
        _codes = codes?.DetachFromDisposeScope();
    }

    /// <summary>Before a backward: a gradient that the user has dropped is no longer added to.</summary>
    public void Withdraw()
    {
        if (_hidden) return;
        using var visible = Parameter.grad;
        if (visible is null) SetCodes(null);
        else Parameter.grad = null;
    }

    /// <summary>After a backward: the user and the optimizer see the gradient, or do not while it still accumulates.</summary>
    public void Show(bool visible)
    {
        _hidden = !visible;
        Parameter.grad = visible ? _codes : null;
    }

    /// <summary>The weight as float8 for a product; O3 alone.</summary>
    /// <param name="turned">Also transposed.</param>
    public QuantizedMatrix AsOperand(bool turned)
    {
        using var noGrad = no_grad();
        var codes = Parameter.detach().DetachFromDisposeScope();
        return new QuantizedMatrix(codes, turned ? codes.t().contiguous().DetachFromDisposeScope() : null, Inverse!.detach().DetachFromDisposeScope());
    }

    /// <summary>Stores new values of the weight.</summary>
    /// <param name="value">Float32, of the parameter's shape.</param>
    public void Store(Tensor value)
    {
        using var noGrad = no_grad();
        if (Master is null)
        {
            Parameter.copy_(value);
            return;
        }

        Master.copy_(value);
        using var quantized = Float8Quantizer.Quantize(Master, Kind, new ScaleSource(null, null));
        Inverse!.copy_(quantized.Inverse);
        Parameter.copy_(quantized.Codes!);
    }

    /// <summary>The parameter becomes an ordinary one of float16.</summary>
    public void Dispose()
    {
        _known.Remove(Parameter);
        if (!Parameter.IsInvalid)
        {
            Parameter.grad = null;
            if (Master is not null) TensorStorage.SetData(Parameter, Master);
        }

        SetCodes(null);
        GradientInverse.Dispose();
        Inverse?.Dispose();
        Master?.Dispose();
    }
}

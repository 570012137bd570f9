using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Gpt2;

/// <summary>A linear layer whose weight is stored as GPT-2's checkpoints have it: [inputs, outputs].</summary>
internal sealed class Conv1D : Module<Tensor, Tensor>
{
    [ComponentName(Name = "weight")] private readonly Parameter _weight;
    [ComponentName(Name = "bias")] private readonly Parameter _bias;

    public Conv1D(long inputs, long outputs, ScalarType dtype, Device? device) : base(nameof(Conv1D))
    {
        _weight = Parameter(empty(inputs, outputs, dtype, device));
        _bias = Parameter(zeros(outputs, dtype, device));
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        var shape = input.shape;
        using var rows = input.reshape(-1, shape[^1]);
        using var result = addmm(_bias, rows, _weight, 1, 1);
        return result.view([.. shape[..^1], result.shape[1]]);
    }
}

using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Encoders;

/// <summary>The layers one after the other; a checkpoint's <c>encoder</c>.</summary>
internal sealed class LayerStack<TLayer> : Module<Tensor, Tensor?, Tensor> where TLayer : Module<Tensor, Tensor?, Tensor>
{
    [ComponentName(Name = "layer")] private readonly ModuleList<TLayer> _layers;

    public LayerStack(IEnumerable<TLayer> layers) : base("LayerStack")
    {
        _layers = new ModuleList<TLayer>([.. layers]);
        RegisterComponents();
    }

    /// <summary>Takes the hidden state over: it is disposed once the first layer is done with it.</summary>
    public override Tensor forward(Tensor hidden, Tensor? mask)
    {
        foreach (var layer in _layers)
        {
            var former = hidden;
            hidden = layer.call(hidden, mask);
            former.Dispose();
        }
        return hidden;
    }
}

using AccelerateSharp.Internal.Interop;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Interop;

[Collection(ProcessWideCounters.Name)]
public sealed class NodePriorityTests
{
    [Fact]
    public void The_order_field_of_this_libtorch_is_where_it_is_expected() => Assert.True(NodePriority.IsEnabled);

    [Fact]
    public void A_layers_node_runs_before_the_backward_of_the_layers_below()
    {
        using var scope = NewDisposeScope();
        var errors = new BackwardErrors();
        Parameter[] weights = [.. Enumerable.Range(0, 3).Select(_ => nn.Parameter(randn(4, 4)))];
        var order = new List<string>();

        // As data parallelism does it: every parameter is replaced before the first layer runs.
        Tensor[] aliases = [.. weights.Select(weight => weight.detach())];
        for (var layer = 0; layer < 3; layer++)
        {
            var name = $"node {layer}";
            AutogradNode.Attach([weights[layer]], [aliases[layer]], _ => order.Add(name), errors);
        }

        var x = randn(2, 4, requires_grad: true);
        for (var layer = 0; layer < 3; layer++)
        {
            x = Marker.apply(x, $"backward enters below layer {layer}", order);
            x = nn.functional.linear(x, aliases[layer]).relu();
        }
        x.sum().backward();
        errors.ThrowPending();

        Assert.Equal(
            ["node 2", "backward enters below layer 2", "node 1", "backward enters below layer 1", "node 0", "backward enters below layer 0"],
            order);
    }

    /// <summary>An identity made by TorchSharp's own function type, with a natural place in the engine's order.</summary>
    private sealed class Marker : autograd.SingleTensorFunction<Marker>
    {
        public override string Name => nameof(Marker);

        public static Tensor apply(Tensor input, string name, List<string> order) => autograd.SingleTensorFunction<Marker>.apply(input, name, order);

        public override Tensor forward(autograd.AutogradContext context, params object[] args)
        {
            context.save_data("name", args[1]);
            context.save_data("order", args[2]);
            return ((Tensor)args[0]).clone();
        }

        public override List<Tensor> backward(autograd.AutogradContext context, Tensor gradient)
        {
            ((List<string>)context.get_data("order")).Add((string)context.get_data("name"));
            return [gradient, null!, null!];
        }
    }
}

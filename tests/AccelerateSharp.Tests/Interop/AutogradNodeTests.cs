using AccelerateSharp.Internal.Interop;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Interop;

[Collection(ProcessWideCounters.Name)]
public sealed class AutogradNodeTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly BackwardErrors _errors = new();

    public void Dispose() => _scope.Dispose();

    private static Parameter Leaf(params float[] values) => nn.Parameter(tensor(values));

    [Fact]
    public void Outputs_share_the_memory_of_the_inputs_and_get_all_gradients_in_one_call()
    {
        var (a, b) = (Leaf(1, 2, 3), Leaf(4, 5, 6));
        var (x, y) = (a.detach(), b.detach());
        var calls = 0;
        Tensor? gradientOfX = null, gradientOfY = null;

        Assert.True(AutogradNode.Attach([a, b], [x, y], gradients =>
        {
            calls++;
            Assert.Equal(2, gradients.Count);
            gradientOfX = gradients[0]!.DetachFromDisposeScope();
            gradientOfY = gradients[1]!.DetachFromDisposeScope();
        }, _errors));

        Assert.False(x.is_leaf);
        Assert.True(x.requires_grad && y.requires_grad);
        a.detach().fill_(7);
        Assert.Equal(7f, x[0].item<float>());
        ((x * x).sum() + (x * y).sum() + (3 * y).sum()).backward();
        _errors.ThrowPending();

        Assert.Equal(1, calls);
        Assert.Equal([14f + 4, 14f + 5, 14f + 6], gradientOfX!.data<float>().ToArray());
        Assert.Equal([10f, 10f, 10f], gradientOfY!.data<float>().ToArray());
        Assert.Null(a.grad);
        Assert.Null(b.grad);
        gradientOfX.Dispose();
        gradientOfY.Dispose();
    }

    [Fact]
    public void What_is_passed_on_is_added_to_the_leaf_and_nothing_else_is()
    {
        var (a, b) = (Leaf(1, 2), Leaf(3, 4));
        for (var step = 1; step <= 3; step++)
        {
            var (x, y) = (a.detach(), b.detach());
            AutogradNode.Attach([a, b], [x, y], gradients => gradients.PassOn(1, gradients[1]! * 10), _errors);
            (x * y).sum().backward();
            _errors.ThrowPending();
            Assert.Null(a.grad);
            Assert.Equal([10f * step, 20f * step], b.grad!.data<float>().ToArray());
        }
    }

    [Fact]
    public void An_output_without_a_gradient_is_null_and_an_unreached_node_is_not_called()
    {
        var (a, b) = (Leaf(1), Leaf(2));
        var (x, y, unreached) = (a.detach(), b.detach(), a.detach());
        var seen = "";
        AutogradNode.Attach([a, b], [x, y], gradients => seen += $"{gradients[0] is null},{gradients[1] is null};", _errors);
        AutogradNode.Attach([a], [unreached], _ => seen += "unreached", _errors);
        y.sum().backward();
        _errors.ThrowPending();
        Assert.Equal("True,False;", seen);
    }

    [Fact]
    public void Without_gradients_there_is_no_node()
    {
        var trainable = Leaf(1);
        var frozen = nn.Parameter(tensor(1f), requires_grad: false);
        var live = AutogradNode.Live;
        using (no_grad())
        {
            var alias = trainable.detach();
            Assert.False(AutogradNode.Attach([trainable], [alias], _ => { }, _errors));
            Assert.False(alias.requires_grad);
        }
        var frozenAlias = frozen.detach();
        Assert.False(AutogradNode.Attach([frozen], [frozenAlias], _ => { }, _errors));
        Assert.False(frozenAlias.requires_grad);
        Assert.Equal(live, AutogradNode.Live);
    }

    [Fact]
    public void An_output_with_a_history_is_refused_and_leaves_no_node()
    {
        var a = Leaf(1);
        var live = AutogradNode.Live;
        Assert.Throws<ArgumentException>(() => AutogradNode.Attach([a], [a * 2], _ => { }, _errors));
        Assert.Throws<ArgumentException>(() => AutogradNode.Attach([a], [a], _ => { }, _errors));
        Assert.Equal(live, AutogradNode.Live);
    }

    [Fact]
    public void An_exception_waits_for_the_end_of_backward_and_the_first_wins()
    {
        var a = Leaf(1);
        var later = 0;
        var (first, second) = (a.detach(), a.detach());
        AutogradNode.Attach([a], [first], _ => later++, _errors);
        // Used last in forward, so it is first in backward.
        AutogradNode.Attach([a], [second], _ => throw new TimeoutException("peer 3 is gone"), _errors);
        ((first * 2) * second).sum().backward();

        Assert.True(_errors.IsPending);
        var error = Assert.Throws<TimeoutException>(_errors.ThrowPending);
        Assert.Equal("peer 3 is gone", error.Message);
        Assert.Contains(nameof(An_exception_waits_for_the_end_of_backward_and_the_first_wins), error.StackTrace);
        Assert.Equal(0, later);
        Assert.False(_errors.IsPending);
        _errors.ThrowPending();
    }

    [Fact]
    public void A_node_lives_exactly_as_long_as_the_graph()
    {
        var live = AutogradNode.Live;
        var a = Leaf(1, 2);
        var x = a.detach();
        AutogradNode.Attach([a], [x], _ => { }, _errors);
        Assert.Equal(live + 1, AutogradNode.Live);
        var loss = x.sum();
        x.Dispose();
        Assert.Equal(live + 1, AutogradNode.Live);
        loss.backward();
        Assert.Equal(live + 1, AutogradNode.Live);
        loss.Dispose();
        Assert.Equal(live, AutogradNode.Live);
    }

    [Fact]
    public void The_graph_holds_the_callback_and_lets_it_go_with_the_node()
    {
        var (state, loss) = Build();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.True(state.IsAlive);
        loss.Dispose();
        GC.Collect();
        Assert.False(state.IsAlive);

        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        (WeakReference, Tensor) Build()
        {
            var captured = new object();
            var a = Leaf(1);
            using var x = a.detach();
            AutogradNode.Attach([a], [x], _ => GC.KeepAlive(captured), _errors);
            return (new WeakReference(captured), x.sum());
        }
    }

    [Fact]
    public void A_retained_graph_calls_back_each_time_and_backward_may_run_inside_a_callback()
    {
        var a = Leaf(3);
        var x = a.detach();
        var (calls, inner) = (0, 0f);
        AutogradNode.Attach([a], [x], gradients =>
        {
            calls++;
            using var grad = enable_grad();
            var y = a.detach().requires_grad_();
            var z = y.detach();
            AutogradNode.Attach([y], [z], g => g.PassOn(0, g[0]!), _errors);
            (z * z).sum().backward();
            inner = y.grad!.item<float>();
            gradients.PassOn(0, gradients[0]!);
        }, _errors);
        var loss = (x * 2).sum();
        autograd.backward([loss], retain_graph: true);
        autograd.backward([loss]);
        _errors.ThrowPending();
        Assert.Equal((2, 6f), (calls, inner));
        Assert.Equal(4f, a.grad!.item<float>());
    }

    [Fact]
    public void Many_inputs_and_threads_at_once_keep_their_own_gradients()
    {
        var live = AutogradNode.Live;
        System.Threading.Tasks.Parallel.For(0, 8, worker =>
        {
            using var scope = NewDisposeScope();
            var errors = new BackwardErrors();
            Parameter[] leaves = [.. Enumerable.Range(0, 100).Select(i => Leaf(i, worker))];
            for (var step = 0; step < 20; step++)
            {
                using var stepScope = NewDisposeScope();
                Tensor[] aliases = [.. leaves.Select(leaf => leaf.detach())];
                var sums = new float[aliases.Length];
                AutogradNode.Attach(leaves, aliases, gradients =>
                {
                    for (var i = 0; i < gradients.Count; i++) sums[i] = gradients[i]!.sum().item<float>();
                }, errors);
                var loss = aliases.Select((alias, i) => (alias * (i + worker)).sum()).Aggregate((sum, next) => sum + next);
                loss.backward();
                errors.ThrowPending();
                for (var i = 0; i < sums.Length; i++) Assert.Equal(2f * (i + worker), sums[i]);
            }
        });
        Assert.Equal(live, AutogradNode.Live);
    }

    [Fact]
    public void An_in_place_change_of_the_parameter_before_backward_is_noticed()
    {
        var a = Leaf(1, 2);
        var x = a.detach();
        AutogradNode.Attach([a], [x], _ => { }, _errors);
        var loss = (x * x).sum();
        using (no_grad()) a.add_(1);
        Assert.Throws<System.Runtime.InteropServices.ExternalException>(() => loss.backward());
    }
}

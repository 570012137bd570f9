using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Interop;

[Collection(ProcessWideCounters.Name)]
public sealed class LeakTests : IDisposable
{
    private readonly int _threads = get_num_threads();

    /// <summary>The tensors are small: waiting for a second thread would take longer than computing.</summary>
    public LeakTests() => set_num_threads(1);

    public void Dispose() => set_num_threads(_threads);

    private const int WarmUp = 20;
    private const int Steps = 1000;

    /// <summary>A quarter of a megabyte: one tensor lost per step would be 250 MB at the end.</summary>
    private const int Width = 256;

    [Fact]
    public void A_thousand_steps_leave_as_many_tensors_nodes_and_bytes_as_before()
    {
        using var scope = NewDisposeScope();
        var errors = new BackwardErrors();
        var model = nn.Sequential(("up", nn.Linear(Width, Width)), ("act", nn.Tanh()), ("down", nn.Linear(Width, 1)));
        var slots = ParameterSlots.Of(model);
        Assert.Equal(4, slots.Count);
        var input = randn(2, Width);
        var calls = 0;
        // What earlier tests dropped must not be finalised, and counted down, in between.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        for (var step = 0; step < WarmUp; step++) Step();
        var (tensors, nodes, memory) = (Tensor.TotalCount, AutogradNode.Live, Resident());
        calls = 0;

        for (var step = 0; step < Steps; step++)
        {
            Step();
            Assert.Equal(tensors, Tensor.TotalCount);
            Assert.Equal(nodes, AutogradNode.Live);
        }

        Assert.Equal(4 * Steps, calls);
        Assert.InRange(Resident() - memory, long.MinValue, 64L << 20);

        void Step()
        {
            using var stepScope = NewDisposeScope();
            foreach (var slot in slots)
            {
                var alias = slot.Parameter.detach();
                AutogradNode.Attach([slot.Parameter], [alias], gradients =>
                {
                    calls++;
                    // Whatever is made in a callback goes with it, without a "using".
                    var half = gradients[0]! * 0.5;
                    gradients.PassOn(0, half + half);
                }, errors);
                slot.SwapIn(alias);
            }
            var loss = model.call(input).sum();
            foreach (var slot in slots) slot.SwapBack();
            loss.backward();
            errors.ThrowPending();
            model.zero_grad(set_to_none: false);
        }
    }

    [Fact]
    public void Failing_callbacks_and_graphs_that_are_never_run_leave_nothing_either()
    {
        using var scope = NewDisposeScope();
        var errors = new BackwardErrors();
        var leaf = nn.Parameter(randn(Width, Width));
        // What earlier tests dropped must not be finalised, and counted down, in between.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        for (var step = 0; step < WarmUp; step++) Step(step);
        var (tensors, nodes, memory) = (Tensor.TotalCount, AutogradNode.Live, Resident());
        for (var step = 0; step < Steps; step++) Step(step);
        Assert.Equal(tensors, Tensor.TotalCount);
        Assert.Equal(nodes, AutogradNode.Live);
        Assert.InRange(Resident() - memory, long.MinValue, 64L << 20);

        void Step(int step)
        {
            using var stepScope = NewDisposeScope();
            var alias = leaf.detach();
            AutogradNode.Attach([leaf], [alias], gradients =>
            {
                gradients.PassOn(0, gradients[0]! * 2);
                throw new TimeoutException();
            }, errors);
            var loss = (alias * alias).sum();
            if (step % 2 == 0) return;
            loss.backward();
            Assert.Throws<TimeoutException>(errors.ThrowPending);
        }
    }

    private static long Resident()
    {
        // Second word of statm: pages that are in memory.
        var pages = File.ReadAllText("/proc/self/statm").Split(' ')[1];
        return long.Parse(pages, System.Globalization.CultureInfo.InvariantCulture) * Environment.SystemPageSize;
    }
}

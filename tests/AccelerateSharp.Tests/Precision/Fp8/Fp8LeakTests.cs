using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Tests.Interop;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.Precision.Fp8;

/// <summary>Steps in float8 leave nothing behind: neither tensors nor autograd nodes, also where a graph was never used.</summary>
[Collection(ProcessWideCounters.Name)]
public sealed class Fp8LeakTests
{
    [Theory]
    [InlineData(null)]
    [InlineData(MSAMPOptLevel.O1)]
    [InlineData(MSAMPOptLevel.O3)]
    public void Two_hundred_steps_leave_as_many_tensors_and_nodes_as_before(MSAMPOptLevel? level)
    {
        using var scope = NewDisposeScope();
        var accelerator = new Accelerator(
            cpu: true, mixedPrecision: MixedPrecision.FP8, fp8Recipe: level is null ? new TERecipeKwargs() : new MSAMPRecipeKwargs { OptLevel = level });
        var made = Sequential(Linear(32, 32), GELU(), Linear(32, 32));
        var (model, optimizer) = accelerator.Prepare(made, new FusedAdamW(made.parameters(), 1e-3));
        for (var step = 0; step < 10; step++) Step(step);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var (tensors, nodes) = (Tensor.TotalCount, AutogradNode.Live);
        for (var step = 0; step < 200; step++)
        {
            Step(step);
            Assert.Equal(tensors, Tensor.TotalCount);
            Assert.Equal(nodes, AutogradNode.Live);
        }

        accelerator.FreeMemory();

        void Step(int step)
        {
            using var stepScope = NewDisposeScope();
            optimizer.zero_grad();
            var loss = model.call(randn(4, 32)).pow(2).sum();
            // A loss that nobody differentiates.
            if (step % 3 == 2) return;
            accelerator.Backward(loss);
            optimizer.step();
        }
    }
}

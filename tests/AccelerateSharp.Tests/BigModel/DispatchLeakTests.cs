using AccelerateSharp.Tests.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.BigModel;

/// <summary>What passes of a dispatched model, and dispatching itself, leave behind: nothing.</summary>
[Collection(ProcessWideCounters.Name)]
public sealed class DispatchLeakTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate-tests-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Tensors_and_memory_stay_the_same(bool disk)
    {
        using var scope = NewDisposeScope();
        using var model = new BlockModel(tied: true);
        var tokens = randint(BlockModel.Words, [1, 4]);
        Cycle();
        var before = Tensor.TotalCount;
        for (var round = 0; round < 20; round++) Cycle();
        AssertNoMore(before);

        // Fewer there may be: the collector finds what earlier tests have left.
        static void AssertNoMore(long before) => Assert.True(Tensor.TotalCount <= before, $"{Tensor.TotalCount - before} tensors more");

        void Pass()
        {
            using var inner = NewDisposeScope();
            model.call(tokens);
        }

        void Cycle()
        {
            using var inner = NewDisposeScope();
            using var noGrad = no_grad();
            if (disk) BigModeling.DiskOffload(model, _folder, CPU);
            else BigModeling.CpuOffload(model, CPU);
            Pass();
            var during = Tensor.TotalCount;
            for (var pass = 0; pass < 5; pass++) Pass();
            // The order is learnt in the first pass: until then a slot may not have met all of its units.
            AssertNoMore(during + (disk ? model.parameters().Count() : 0));
            ModelHooks.RemoveHookFromModule(model, recurse: true);
        }
    }
}

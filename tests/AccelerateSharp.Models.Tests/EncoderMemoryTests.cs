using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests;

[Collection(ProcessWideCounters.Name)]
public sealed class EncoderMemoryTests
{
    [Theory]
    [MemberData(nameof(EncoderTests.Models), MemberType = typeof(EncoderTests))]
    public void A_step_reaches_every_parameter_and_leaves_no_tensor_behind(string architecture)
    {
        using var outer = NewDisposeScope();
        using var model = EncoderTests.Build(architecture);
        model.train();
        var inputs = EncoderTests.Inputs(model);
        Step();
        // The pooler's result is not part of what is differentiated here.
        Assert.All(model.named_parameters().Where(p => !p.name.StartsWith("pooler", StringComparison.Ordinal)), p => Assert.NotNull(p.parameter.grad));
        // What earlier tests dropped must not be finalised, and counted down, in between.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var before = Tensor.TotalCount;
        for (var i = 0; i < 3; i++) Step();
        Assert.Equal(before, Tensor.TotalCount);

        void Step()
        {
            using var scope = NewDisposeScope();
            EncoderTests.Result(model, inputs).square().mean().backward();
        }
    }
}

using AccelerateSharp.Models.Internal;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Tests;

/// <summary>The fused loss goes around a head in float8, and around nobody else's hooks.</summary>
[Collection("process state")]
public sealed class Fp8HooksTests
{
    [Fact]
    public void A_head_whose_weight_is_an_ordinary_one_need_not_be_called()
    {
        var accelerator = new Accelerator(cpu: true, mixedPrecision: MixedPrecision.FP8);
        using var head = Linear(32, 32);
        accelerator.Prepare(Sequential(head));
        Assert.False(Hooks.Any(head));
        var hook = head.register_forward_pre_hook((_, input) => input);
        Assert.True(Hooks.Any(head));
        hook.remove();
        accelerator.FreeMemory();
        Assert.False(Hooks.Any(head));

        var storing = new Accelerator(cpu: true, mixedPrecision: MixedPrecision.FP8, fp8Recipe: new MSAMPRecipeKwargs());
        using var stored = Linear(32, 32);
        storing.Prepare(Sequential(stored));
        Assert.True(Hooks.Any(stored));
        storing.FreeMemory();
    }
}

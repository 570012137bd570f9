namespace AccelerateSharp.Tests;

public class SmokeTests
{
    [Fact]
    public void Torch_loads()
    {
        System.Runtime.CompilerServices.RuntimeHelpers.RunModuleConstructor(typeof(Internal.Interop.NativeLibraries).Module.ModuleHandle);
        using var x = TorchSharp.torch.ones(3);
        Assert.Equal(3f, x.sum().item<float>());
    }
}

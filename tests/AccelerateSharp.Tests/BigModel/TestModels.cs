using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.BigModel;

/// <summary>236 bytes: linear1 64 (48 + 16), batchnorm 72 (16 + 16 + 16 + 16 + 8), linear2 100 (80 + 20).</summary>
internal sealed class ModelForTest : Module<Tensor, Tensor>
{
    public readonly Linear linear1 = Linear(3, 4);
    public readonly BatchNorm1d batchnorm = BatchNorm1d(4);
    public readonly Linear linear2 = Linear(4, 5);

    public ModelForTest() : base(nameof(ModelForTest)) => RegisterComponents();

    public override Tensor forward(Tensor input) => linear2.call(batchnorm.call(linear1.call(input)));
}

internal static class TestModels
{
    /// <summary>A sequence of modules with names.</summary>
    public static Sequential Named(params (string Name, Module<Tensor, Tensor> Module)[] modules) => Sequential(modules);

    public static void AddBuffer(Module module, string name, params long[] shape) => module.register_buffer(name, zeros(shape));
}

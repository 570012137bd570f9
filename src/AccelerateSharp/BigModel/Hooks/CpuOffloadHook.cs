using AccelerateSharp.BigModel;
using AccelerateSharp.Parallel;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

/// <summary>Brings a whole model to a device when it is called, where it stays until it is offloaded: by hand, or by the next model of a chain.</summary>
/// <param name="executionDevice">Where the model computes; by default GPU 0 where there is one.</param>
/// <param name="prevModuleHook">The hook of the model before, which makes room first.</param>
public sealed class CpuOffloadHook(Device? executionDevice = null, UserCpuOffloadHook? prevModuleHook = null) : ModelHook
{
    private readonly Device _device = executionDevice ?? (cuda_is_available() ? CUDA : CPU);

    /// <summary>Where the model computes.</summary>
    public Device ExecutionDevice => _device;

    /// <inheritdoc/>
    public override void InitHook(Module module) => ModelPlacement.MoveTo(module, CPU);

    /// <inheritdoc/>
    public override object?[] PreForward(Module module, object?[] arguments)
    {
        prevModuleHook?.Offload();
        ModelPlacement.MoveTo(module, _device);
        return ForwardArguments.Move(arguments, _device, [], trees: true);
    }
}

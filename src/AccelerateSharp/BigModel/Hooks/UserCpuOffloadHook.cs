using AccelerateSharp.Parallel;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

/// <summary>What <see cref="BigModeling.CpuOffloadWithHook"/> gives to its user: the model can be offloaded, and be let go of.</summary>
public sealed class UserCpuOffloadHook
{
    private readonly Module _model;

    internal UserCpuOffloadHook(Module model) => _model = model;

    /// <summary>Brings the model back to the CPU, until it is called again.</summary>
    public void Offload() => ModelPlacement.MoveTo(_model, CPU);

    /// <summary>Takes the hook off. The model stays where it is.</summary>
    public void Remove() => ModelHooks.RemoveHookFromModule(_model);
}

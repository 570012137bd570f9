using static TorchSharp.torch;

namespace AccelerateSharp.BigModel;

/// <summary>How a model is dispatched.</summary>
/// <param name="MainDevice">Where inputs and offloaded modules are.</param>
/// <param name="OffloadsCpu">Whether modules on the CPU are offloaded, and computed with on the main device.</param>
/// <param name="Folder">Weights on disk; null where there are none.</param>
/// <param name="OffloadBuffers">Whether buffers are offloaded too.</param>
/// <param name="SkipKeys">Parameters of <c>forward</c> whose arguments stay where they are.</param>
/// <param name="PreloadClasses">Classes of modules whose weights are brought together with those of all modules below.</param>
internal sealed record DispatchOptions(
    Device MainDevice, bool OffloadsCpu, OffloadFolder? Folder, bool OffloadBuffers, IReadOnlyCollection<string>? SkipKeys, IReadOnlySet<string> PreloadClasses)
{
    public bool IsOffloaded(Placement placement) => placement == Placement.Disk || placement == Placement.Cpu && OffloadsCpu;

    /// <summary>Where a module with this placement computes.</summary>
    public Device ExecutionDevice(Placement placement) => placement.IsGpu || placement == Placement.Cpu && !OffloadsCpu ? placement.ToDevice() : MainDevice;
}

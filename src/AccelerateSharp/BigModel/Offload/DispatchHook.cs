using AccelerateSharp.Data.Trees;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>On a module of a dispatched model: inputs come to its device, and its offloaded weights are there while it computes.</summary>
/// <param name="engine">What brings the weights.</param>
/// <param name="unit">The weights; null where none are offloaded.</param>
/// <param name="device">Where the module computes.</param>
/// <param name="isRoot">Whether it is the model itself: then results go back to where its input came from.</param>
/// <param name="skipped">Arguments that stay where they are.</param>
internal sealed class DispatchHook(OffloadEngine engine, OffloadUnit? unit, Device device, bool isRoot, bool[] skipped) : ModelHook, IOffloadHook
{
    private readonly Stack<bool> _opened = new();
    private Device? _inputDevice;

    public OffloadUnit? Unit => unit;

    public OffloadEngine Engine => engine;

    bool IOffloadHook.Offloads => unit is not null;

    public override void InitHook(Module module) => engine.Attach(this);

    public override object?[] PreForward(Module module, object?[] arguments)
    {
        if (isRoot)
        {
            engine.Begin(module);
            _inputDevice = TensorTree.FindDevice(arguments);
        }
        if (unit is not null) _opened.Push(engine.Enter(unit));
        return ForwardArguments.Move(arguments, device, skipped, trees: isRoot || engine.HasSeveralDevices);
    }

    public override object? PostForward(Module module, object? result)
    {
        if (unit is not null)
        {
            result = OffloadEngine.Keep(unit, result);
            engine.Exit(unit);
            if (_opened.TryPop(out var opened) && opened) OffloadEngine.End(module);
        }
        if (!isRoot) return result;
        OffloadEngine.End(module);
        return _inputDevice is null ? result : ForwardArguments.Move(result, _inputDevice);
    }

    public override void DetachHook(Module module) => engine.Detach(this);

    void IOffloadHook.Align(Module module) => engine.Enter(unit!, guarded: false);

    void IOffloadHook.Release(Module module) => engine.Exit(unit!);

    Tensor? IOffloadHook.Read(ModelTensor tensor) =>
        unit?.Tensors.FirstOrDefault(known => known.Tensor.IsSame(tensor)) is { } found ? found.Weight.Read() : null;
}

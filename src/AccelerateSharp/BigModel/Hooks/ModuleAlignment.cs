using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>A module whose tensors are all on one device for a time.</summary>
internal sealed class ModuleAlignment : IDisposable
{
    private readonly Module _module;
    private readonly IOffloadHook? _offload;
    private readonly List<ModelTensor> _moved = [];
    private bool _disposed;

    public ModuleAlignment(Module module, Device? device)
    {
        _module = module;
        _offload = HookRegistration.Offload(module) ?? OffloadEngine.HookOf(module);
        _offload?.Align(module);
        if (device is null) return;
        try
        {
            foreach (var tensor in ModelTensors.Direct(module))
            {
                if (tensor.Value.device_type == device.type && (tensor.Value.device_index == device.index || device.index < 0)) continue;
                using var moved = tensor.Value.detach().to(device);
                tensor.SwapIn(moved);
                _moved.Add(tensor);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        foreach (var tensor in _moved) tensor.SwapBack();
        _offload?.Release(_module);
    }
}

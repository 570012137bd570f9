using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Precision;

/// <summary>Autocast around code of the user's own. Ends once, and only on the thread that it began on.</summary>
internal sealed class AutocastScope(Device device, ScalarType dtype, AutocastKwargs options) : IDisposable
{
    private readonly Autocast.Scope _scope = Autocast.Enter(device.type, dtype, options.Enabled, options.CacheEnabled);
    private readonly int _thread = Environment.CurrentManagedThreadId;
    private bool _ended;

    public void Dispose()
    {
        if (_ended) return;
        if (Environment.CurrentManagedThreadId != _thread)
            throw new InvalidOperationException("Accelerator.Autocast: the scope ends on another thread than it began on. Keep await out of it.");
        _ended = true;
        _scope.Dispose();
    }
}

using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Autocast's switches, and the recipe beside them, as they stand on a thread: to compute the same again at another time, or on another thread.</summary>
/// <example><code>
/// var state = AutocastState.Capture();      // in forward
/// using (state.Enter()) Recompute();        // in backward
/// </code></example>
internal readonly struct AutocastState
{
    private readonly Switches _cpu;
    private readonly Switches _cuda;
    private readonly bool _cache;
    private readonly IForwardRecipe? _recipe;

    private AutocastState(Switches cpu, Switches cuda, bool cache, IForwardRecipe? recipe) => (_cpu, _cuda, _cache, _recipe) = (cpu, cuda, cache, recipe);

    internal static AutocastState Capture() =>
        new(Switches.Of(DeviceType.CPU), Switches.Of(DeviceType.CUDA), Autocast.IsCacheEnabled, Autocast.Recipe);

    /// <summary>Puts the switches into force on this thread until the result is disposed, on the same thread, innermost first.</summary>
    internal Scope Enter()
    {
        var scope = new Scope(_cpu.Enter(DeviceType.CPU, _cache), _cuda.Enter(DeviceType.CUDA, _cache), Autocast.Recipe);
        Autocast.Recipe = _recipe;
        return scope;
    }

    private readonly record struct Switches(bool Enabled, ScalarType Dtype)
    {
        public static Switches Of(DeviceType device) => new(Autocast.IsEnabled(device), Autocast.Dtype(device));

        public Autocast.Scope Enter(DeviceType device, bool cache) => Autocast.Enter(device, Dtype, Enabled, cache);
    }

    internal readonly struct Scope(Autocast.Scope cpu, Autocast.Scope cuda, IForwardRecipe? recipe) : IDisposable
    {
        public void Dispose()
        {
            if (Autocast.Recipe != recipe) Autocast.Recipe?.EndForward();
            Autocast.Recipe = recipe;
            cuda.Dispose();
            cpu.Dispose();
        }
    }
}

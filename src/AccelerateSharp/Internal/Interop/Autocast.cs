using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>libtorch's own autocast: operators that gain from it run in a narrower dtype, those that lose keep fp32.</summary>
/// <remarks>
/// The switches are per thread, and autograd's threads take them over for backward. libtorch exports them under their C++ names
/// only; all take plain arguments.
/// </remarks>
internal static partial class Autocast
{
    /// <summary>What linear layers compute with on this thread in place of autocast's dtype; null where that is all.</summary>
    [field: ThreadStatic]
    internal static IForwardRecipe? Recipe { get; set; }

    internal static bool IsEnabled(DeviceType device) => GetEnabled((sbyte)device) != 0;

    internal static ScalarType Dtype(DeviceType device) => (ScalarType)GetDtype((sbyte)device);

    internal static bool IsCacheEnabled => GetCacheEnabled() != 0;

    /// <summary>Switches autocast on this thread until the result is disposed, which must happen on the same thread, innermost first.</summary>
    /// <param name="device">The type of the devices that compute: CPU or CUDA. The others keep their state.</param>
    /// <param name="dtype">Usually bfloat16 or float16.</param>
    /// <param name="enabled">False: a region in full precision inside one that is not.</param>
    /// <param name="cacheWeights">Whether a weight that is cast is kept until the outermost region ends; not for weights that change meanwhile.</param>
    internal static Scope Enter(DeviceType device, ScalarType dtype, bool enabled = true, bool cacheWeights = true)
    {
        if (device is not (DeviceType.CPU or DeviceType.CUDA))
            throw new NotSupportedException($"Autocast is switched for CPU and CUDA, not for {device}.");
        if (enabled && dtype is not (ScalarType.BFloat16 or ScalarType.Float16))
            throw new ArgumentException($"Autocast computes in BFloat16 or Float16, not in {dtype}.", nameof(dtype));
        var scope = new Scope(device, IsEnabled(device), Dtype(device), IsCacheEnabled);
        SetEnabled((sbyte)device, enabled ? (byte)1 : (byte)0);
        if (enabled) SetDtype((sbyte)device, (sbyte)dtype);
        SetCacheEnabled(cacheWeights ? (byte)1 : (byte)0);
        _ = IncrementNesting();
        return scope;
    }

    /// <summary>Switches autocast's dispatch on for the CPU, with float32 as its dtype so that it casts nothing: for kernels of ours.</summary>
    internal static Switch SwitchOnWithoutCasts()
    {
        var former = new Switch(GetEnabled((sbyte)DeviceType.CPU), GetDtype((sbyte)DeviceType.CPU));
        SetDtype((sbyte)DeviceType.CPU, (sbyte)ScalarType.Float32);
        SetEnabled((sbyte)DeviceType.CPU, 1);
        return former;
    }

    /// <summary>Switches autocast's dispatch off for the CPU.</summary>
    internal static Switch SwitchOff()
    {
        var former = new Switch(GetEnabled((sbyte)DeviceType.CPU), GetDtype((sbyte)DeviceType.CPU));
        SetEnabled((sbyte)DeviceType.CPU, 0);
        return former;
    }

    /// <summary>Drops the weights that were cast: after an optimizer has changed them inside a region.</summary>
    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "_ZN2at8autocast11clear_cacheEv")]
    internal static partial void ClearCache();

    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "_ZN2at8autocast19is_autocast_enabledEN3c1010DeviceTypeE")]
    private static partial byte GetEnabled(sbyte device);

    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "_ZN2at8autocast20set_autocast_enabledEN3c1010DeviceTypeEb")]
    private static partial void SetEnabled(sbyte device, byte enabled);

    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "_ZN2at8autocast18get_autocast_dtypeEN3c1010DeviceTypeE")]
    private static partial sbyte GetDtype(sbyte device);

    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "_ZN2at8autocast18set_autocast_dtypeEN3c1010DeviceTypeENS1_10ScalarTypeE")]
    private static partial void SetDtype(sbyte device, sbyte dtype);

    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "_ZN2at8autocast25is_autocast_cache_enabledEv")]
    private static partial byte GetCacheEnabled();

    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "_ZN2at8autocast26set_autocast_cache_enabledEb")]
    private static partial void SetCacheEnabled(byte enabled);

    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "_ZN2at8autocast17increment_nestingEv")]
    private static partial int IncrementNesting();

    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "_ZN2at8autocast17decrement_nestingEv")]
    private static partial int DecrementNesting();

    /// <summary>The CPU's switch as it was before.</summary>
    internal readonly struct Switch(byte enabled, sbyte dtype)
    {
        internal void Restore()
        {
            SetDtype((sbyte)DeviceType.CPU, dtype);
            SetEnabled((sbyte)DeviceType.CPU, enabled);
        }
    }

    /// <summary>Puts back what was set before, and drops the cached casts when it was the outermost region.</summary>
    internal readonly struct Scope : IDisposable
    {
        private readonly DeviceType _device;
        private readonly bool _enabled;
        private readonly ScalarType _dtype;
        private readonly bool _cache;

        internal Scope(DeviceType device, bool enabled, ScalarType dtype, bool cache)
        {
            (_device, _enabled, _dtype, _cache) = (device, enabled, dtype, cache);
        }

        public void Dispose()
        {
            if (DecrementNesting() == 0) ClearCache();
            SetEnabled((sbyte)_device, _enabled ? (byte)1 : (byte)0);
            SetDtype((sbyte)_device, (sbyte)_dtype);
            SetCacheEnabled(_cache ? (byte)1 : (byte)0);
        }
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace AccelerateSharp.Internal.Interop;

/// <summary>While one is open on a thread, parameters on the CPU that are filled with random numbers are left as they are.</summary>
/// <remarks>
/// Memory that nobody writes to is never given by the operating system: constructing a model then takes neither time nor memory.
/// The kernels sit under autocast's dispatch key, which a thread switches on for itself; with float32 as its dtype it casts
/// nothing. They are registered only while somebody needs them.
/// </remarks>
internal sealed unsafe partial class InitializationSkip : IDisposable
{
    private static readonly Lock _gate = new();
    private static int _users;
    private static nint _library;
    private static volatile string? _failure;

    [ThreadStatic]
    private static int _depth;

    private static readonly nint _uniform = Marshal.StringToCoTaskMemUTF8("aten::uniform_");
    private static readonly nint _normal = Marshal.StringToCoTaskMemUTF8("aten::normal_");
    private static readonly nint _noOverload = Marshal.StringToCoTaskMemUTF8("");

    private readonly Autocast.Switch _autocast;
    private bool _disposed;

    private InitializationSkip()
    {
        lock (_gate)
        {
            if (_users == 0) Register();
            _users++;
        }
        _autocast = Autocast.SwitchOnWithoutCasts();
        _depth++;
    }

    /// <summary>Starts on this thread; to be disposed on it too.</summary>
    internal static InitializationSkip Enter() => new();

    /// <exception cref="ExternalException">An operator failed meanwhile; an exception could not pass through libtorch then.</exception>
    internal static void ThrowIfFailed()
    {
        if (Interlocked.Exchange(ref _failure, null) is { } operation)
            throw new ExternalException($"{operation} failed while a model was constructed; libtorch wrote the cause to the standard error stream.");
    }

    public void Dispose()
    {
        if (_disposed) return;
        _disposed = true;
        _depth--;
        _autocast.Restore();
        lock (_gate)
        {
            if (--_users > 0) return;
            Check(aoti_torch_delete_library_object(_library), nameof(aoti_torch_delete_library_object));
            _library = 0;
        }
    }

    private static void Register()
    {
        var space = Marshal.StringToCoTaskMemUTF8("aten");
        var key = Marshal.StringToCoTaskMemUTF8("AutocastCPU");
        try
        {
            // libtorch keeps the pointer to the name of the file.
            Check(aoti_torch_library_init_impl(space, key, _noOverload, 0, out _library), nameof(aoti_torch_library_init_impl));
            Check(torch_library_impl(_library, _uniform, &Uniform, StableAbi.Version), nameof(torch_library_impl));
            Check(torch_library_impl(_library, _normal, &Normal, StableAbi.Version), nameof(torch_library_impl));
        }
        finally
        {
            Marshal.FreeCoTaskMem(space);
            Marshal.FreeCoTaskMem(key);
        }
    }

    // The tensor comes first on the stack, and is the result.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Uniform(ulong* stack, ulong arguments, ulong results) => Run(_uniform, stack);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Normal(ulong* stack, ulong arguments, ulong results) => Run(_normal, stack);

    private static void Run(nint name, ulong* stack)
    {
        var tensor = (nint)stack[0];
        if (_depth > 0 && THSTensor_requires_grad(tensor) != 0) return;
        // Any other tensor, or another thread under autocast: the operator itself.
        if (aoti_torch_new_tensor_handle(tensor, out var result) != 0) result = 0;
        var autocast = Autocast.SwitchOff();
        var error = StableAbi.torch_call_dispatcher(name, _noOverload, stack, StableAbi.Version);
        autocast.Restore();
        if (error == 0)
        {
            TensorHandles.Release(result);
            return;
        }
        stack[0] = (ulong)result;
        _failure = Marshal.PtrToStringUTF8(name);
    }

    private static void Check(int error, string call)
    {
        if (error != 0) throw new InvalidOperationException($"libtorch's {call} failed; it wrote the cause to the standard error stream.");
    }

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int aoti_torch_library_init_impl(nint space, nint key, nint file, uint line, out nint library);

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int torch_library_impl(nint library, nint name, delegate* unmanaged[Cdecl]<ulong*, ulong, ulong, void> kernel, ulong version);

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int aoti_torch_delete_library_object(nint library);

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int aoti_torch_new_tensor_handle(nint handle, out nint duplicate);

    [LibraryImport(NativeLibraries.TorchSharp)]
    private static partial byte THSTensor_requires_grad(nint tensor);
}

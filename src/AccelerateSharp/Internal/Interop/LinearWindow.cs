using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Lets a <see cref="Linear"/> return a result that was computed elsewhere, without running its own product.</summary>
/// <remarks>
/// <para>
/// TorchSharp's <c>Linear</c> is sealed, and hooks can only replace what it takes and returns. Its forward is one
/// <c>aten::matmul</c> with the transposed weight (with a bias and two dimensions it would be <c>addmm</c>, so the bias is hidden
/// meanwhile). A kernel of ours for that operator hands over the result. It sits under the dispatch key of libtorch's legacy vmap,
/// for which every other operator falls through, and which is switched on for the calling thread alone, from the hook before the
/// forward until that one product: no other product of the process, not even one under autocast, ever takes another way.
/// </para>
/// <para>The kernel only takes the input and the weight that it was told of; whatever else comes by meanwhile is computed as usual.</para>
/// </remarks>
internal static unsafe partial class LinearWindow
{
    private static readonly nint _matmul = Marshal.StringToCoTaskMemUTF8("aten::matmul");
    private static readonly nint _noOverload = Marshal.StringToCoTaskMemUTF8("");

    // Registered for as long as the process lives: outside of a window nothing ever looks at the key.
    private static readonly Lazy<bool> _registered = new(Register);

    [ThreadStatic]
    private static Opened? _open;

    /// <summary>Whether a window is open on this thread.</summary>
    internal static bool IsOpen => _open is not null;

    /// <summary>The next forward of <paramref name="linear"/> on this thread returns <paramref name="result"/>.</summary>
    /// <param name="linear">The layer.</param>
    /// <param name="input">What its forward will be called with.</param>
    /// <param name="result">Of the shape of its output, bias included.</param>
    internal static void Open(Linear linear, Tensor input, Tensor result)
    {
        _ = _registered.Value;
        Close();
        ref var bias = ref Bias(linear);
        _open = new Opened(linear, bias, TensorHandles.Identity(input), TensorHandles.DataPointer(Weight(linear)), TensorHandles.Duplicate(result.Handle));
        bias = null;
        _ = IncrementNesting();
    }

    /// <summary>Ends the window, if one is open.</summary>
    /// <returns>The hidden bias of a window whose result nobody took: the forward computed something else, without it.</returns>
    internal static Parameter? Close()
    {
        if (_open is not { } window) return null;
        _open = null;
        _ = DecrementNesting();
        TensorHandles.Release(window.Result);
        Bias(window.Linear) = window.Bias;
        return window.Bias;
    }

    private static bool Register()
    {
        var space = Marshal.StringToCoTaskMemUTF8("aten");
        var key = Marshal.StringToCoTaskMemUTF8("VmapMode");
        try
        {
            // libtorch keeps the pointer to the name of the file.
            Check(aoti_torch_library_init_impl(space, key, _noOverload, 0, out var library), nameof(aoti_torch_library_init_impl));
            Check(torch_library_impl(library, _matmul, &Multiply, StableAbi.Version), nameof(torch_library_impl));
            return true;
        }
        finally
        {
            Marshal.FreeCoTaskMem(space);
            Marshal.FreeCoTaskMem(key);
        }
    }

    // The stack owns its two tensors, and then the result.
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Multiply(ulong* stack, ulong arguments, ulong results)
    {
        if (_open is { } window && TensorHandles.Identity((nint)stack[0]) == window.Input
            && aoti_torch_get_data_ptr((nint)stack[1], out var weight) == 0 && weight == window.Weight)
        {
            TensorHandles.Release((nint)stack[0]);
            TensorHandles.Release((nint)stack[1]);
            stack[0] = (ulong)window.Result;
            _open = null;
            _ = DecrementNesting();
            Bias(window.Linear) = window.Bias;
            return;
        }

        // A product of somebody's hook, or another input than announced. What fails leaves no tensor, which the caller reports.
        _ = DecrementNesting();
        var failed = StableAbi.torch_call_dispatcher(_matmul, _noOverload, stack, StableAbi.Version) != 0;
        _ = IncrementNesting();
        if (failed && aoti_torch_new_uninitialized_tensor(out var nothing) == 0) stack[0] = (ulong)nothing;
    }

    private static void Check(int error, string call)
    {
        if (error != 0) throw new InvalidOperationException($"libtorch's {call} failed; it wrote the cause to the standard error stream.");
    }

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_bias")]
    private static extern ref Parameter? Bias(Linear linear);

    [UnsafeAccessor(UnsafeAccessorKind.Field, Name = "_weight")]
    private static extern ref Parameter Weight(Linear linear);

    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "_ZN2at4impl8VmapMode17increment_nestingEv")]
    private static partial long IncrementNesting();

    [LibraryImport(NativeLibraries.TorchCpu, EntryPoint = "_ZN2at4impl8VmapMode17decrement_nestingEv")]
    private static partial long DecrementNesting();

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int aoti_torch_library_init_impl(nint space, nint key, nint file, uint line, out nint library);

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int torch_library_impl(nint library, nint name, delegate* unmanaged[Cdecl]<ulong*, ulong, ulong, void> kernel, ulong version);

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int aoti_torch_get_data_ptr(nint handle, out nint address);

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int aoti_torch_new_uninitialized_tensor(out nint handle);

    private sealed record Opened(Linear Linear, Parameter? Bias, nint Input, nint Weight, nint Result);
}

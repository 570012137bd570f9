using System.Runtime.InteropServices;

namespace AccelerateSharp.Internal.Interop;

/// <summary>libtorch's stable C interface to its dispatcher: every value is a 64-bit word, a <c>StableIValue</c>.</summary>
/// <remarks>
/// Numbers are their bits. A tensor is an owned handle, a list an owned list of words, a string an owned string. An optional is
/// zero, or the address of a word. A call takes ownership of all of them, and the caller owns what comes back.
/// </remarks>
internal static unsafe partial class StableAbi
{
    /// <summary>The interface of libtorch 2.10, which later ones keep understanding.</summary>
    internal const ulong Version = (2UL << 56) | (10UL << 48);

    /// <summary>From libtorch 2.11 on, optionals have an allocator of their own; before, C++'s <c>new</c>, which is malloc.</summary>
    private static readonly delegate* unmanaged[Cdecl]<ulong**, int> _newBox = FindBoxAllocator();

    internal static ulong Box(ulong value)
    {
        ulong* box;
        if (_newBox is null) box = (ulong*)NativeMemory.Alloc(sizeof(ulong));
        else Check(_newBox(&box), "torch_new_stable_ivalue");
        *box = value;
        return (ulong)box;
    }

    internal static nint NewList(int capacity)
    {
        Check(torch_new_list_reserve_size((nuint)capacity, out var list), nameof(torch_new_list_reserve_size));
        return list;
    }

    internal static void Add(nint list, ulong value) => Check(torch_list_push_back(list, value), nameof(torch_list_push_back));

    /// <summary>Takes the words out of a list and frees it.</summary>
    internal static ulong[] TakeList(nint list)
    {
        Check(torch_list_size(list, out var size), nameof(torch_list_size));
        var values = new ulong[(int)size];
        for (var i = 0; i < values.Length; i++) Check(torch_list_get_item(list, (nuint)i, out values[i]), nameof(torch_list_get_item));
        Check(torch_delete_list(list), nameof(torch_delete_list));
        return values;
    }

    internal static nint NewString(string value)
    {
        var bytes = System.Text.Encoding.UTF8.GetBytes(value);
        fixed (byte* pointer = bytes)
        {
            // An empty array pins to null, of which a C++ string must not be made.
            var nothing = (byte)0;
            Check(torch_new_string_handle(pointer is null ? &nothing : pointer, (nuint)bytes.Length, out var handle), nameof(torch_new_string_handle));
            return handle;
        }
    }

    [LibraryImport(NativeLibraries.TorchCpu)]
    internal static partial int torch_call_dispatcher(nint name, nint overload, ulong* stack, ulong version);

    private static void Check(int error, string call)
    {
        if (error != 0) throw new InvalidOperationException($"libtorch's {call} failed; it wrote the cause to the standard error stream.");
    }

    private static delegate* unmanaged[Cdecl]<ulong**, int> FindBoxAllocator() =>
        NativeLibraries.TryGetExport(NativeLibraries.TorchCpu, "torch_new_stable_ivalue", out var address)
            ? (delegate* unmanaged[Cdecl]<ulong**, int>)address
            : null;

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int torch_new_list_reserve_size(nuint size, out nint list);

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int torch_list_push_back(nint list, ulong value);

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int torch_list_size(nint list, out nuint size);

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int torch_list_get_item(nint list, nuint index, out ulong value);

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int torch_delete_list(nint list);

    [LibraryImport(NativeLibraries.TorchCpu)]
    private static partial int torch_new_string_handle(byte* data, nuint length, out nint handle);
}

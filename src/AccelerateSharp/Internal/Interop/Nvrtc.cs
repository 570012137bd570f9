using System.Runtime.InteropServices;
using System.Text;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Compiles CUDA C++ while the program runs, with the compiler library that every libtorch with CUDA has beside it.</summary>
internal static unsafe class Nvrtc
{
    private const int Success = 0;

    private static readonly Lazy<string?> _whyNot = new(Load);

    internal static bool IsAvailable => _whyNot.Value is null;

    /// <summary>Why <see cref="IsAvailable"/> is false, with all that was tried; null where it is true.</summary>
    internal static string? WhyUnavailable => _whyNot.Value;

    /// <summary>Compiles a source without headers to machine code of one generation of GPUs.</summary>
    /// <param name="source">CUDA C++.</param>
    /// <param name="name">What the compiler calls the source in its messages.</param>
    /// <param name="capability">The GPU's compute capability.</param>
    /// <exception cref="InvalidOperationException">It does not compile; the message has the compiler's own words.</exception>
    internal static byte[] Compile(string source, string name, Version capability)
    {
        if (!IsAvailable) throw new InvalidOperationException(WhyUnavailable);
        Check(NvrtcNative.nvrtcCreateProgram(out var program, source, name, 0, 0, 0), nameof(NvrtcNative.nvrtcCreateProgram));
        var options = new[] { $"--gpu-architecture=sm_{capability.Major}{capability.Minor}", "--std=c++17" };
        var texts = Array.ConvertAll(options, Marshal.StringToCoTaskMemUTF8);
        try
        {
            fixed (nint* pointer = texts)
            {
                var result = NvrtcNative.nvrtcCompileProgram(program, texts.Length, pointer);
                if (result != Success)
                    throw new InvalidOperationException($"{name} does not compile for compute capability {capability}: {Describe(result)}\n{Log(program)}");
            }

            Check(NvrtcNative.nvrtcGetCUBINSize(program, out var size), nameof(NvrtcNative.nvrtcGetCUBINSize));
            var code = new byte[size];
            fixed (byte* pointer = code) Check(NvrtcNative.nvrtcGetCUBIN(program, pointer), nameof(NvrtcNative.nvrtcGetCUBIN));
            return code;
        }
        finally
        {
            foreach (var text in texts) Marshal.FreeCoTaskMem(text);
            NvrtcNative.nvrtcDestroyProgram(ref program);
        }
    }

    private static string Log(nint program)
    {
        if (NvrtcNative.nvrtcGetProgramLogSize(program, out var size) != Success || size == 0) return "";
        var log = new byte[size];
        fixed (byte* pointer = log) NvrtcNative.nvrtcGetProgramLog(program, pointer);
        return Encoding.UTF8.GetString(log).TrimEnd('\0', '\n');
    }

    private static void Check(int result, string call)
    {
        if (result != Success) throw new InvalidOperationException($"{call} failed: {Describe(result)}.");
    }

    private static string? Describe(int result) => Marshal.PtrToStringUTF8(NvrtcNative.nvrtcGetErrorString(result));

    private static string? Load()
    {
        var tried = new List<string>();
        foreach (var candidate in NvrtcSearch.Candidates())
        {
            tried.Add(candidate);
            if (!NativeLibrary.TryLoad(candidate, out var handle)) continue;
            NativeLibraries.Register(NvrtcNative.Library, handle);
            return null;
        }

        return $"NVIDIA's run-time compiler (libnvrtc) was not found (tried: {string.Join(", ", tried)}); set {NvrtcSearch.OverrideVariable} to its folder";
    }
}

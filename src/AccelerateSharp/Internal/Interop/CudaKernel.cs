using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>A kernel on one GPU, launched on the stream on which libtorch queues the calling thread's operators.</summary>
internal sealed unsafe class CudaKernel(CudaContext context, nint function, string name)
{
    private const int MaxArguments = 24;

    /// <summary>Queues the kernel; the host does not wait. Arguments as the source declares them: a wrong number or type is not noticed.</summary>
    /// <param name="grid">Blocks.</param>
    /// <param name="threads">Threads of a block.</param>
    /// <param name="arguments">Pointers (a tensor is the address of its first element, null the null pointer) and numbers.</param>
    internal void Launch((long X, long Y) grid, int threads, ReadOnlySpan<KernelArgument> arguments)
    {
        if (grid.X < 1 || grid.Y < 1) return;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(grid.Y, 65535, $"{name}: blocks in y");
        ArgumentOutOfRangeException.ThrowIfGreaterThan(arguments.Length, MaxArguments, $"{name}: arguments");
        var words = stackalloc long[MaxArguments];
        var pointers = stackalloc void*[MaxArguments];
        for (var i = 0; i < arguments.Length; i++)
        {
            words[i] = arguments[i].Bits;
            pointers[i] = words + i;
        }

        using var scope = context.Enter();
        CudaDriver.Check(
            CudaDriverNative.cuLaunchKernel(
                function, checked((uint)grid.X), (uint)grid.Y, 1, (uint)threads, 1, 1, 0, TorchCuda.CurrentStream(context.DeviceIndex), pointers, null),
            $"{nameof(CudaDriverNative.cuLaunchKernel)}({name})");
    }

    /// <summary>The same with blocks in one dimension.</summary>
    internal void Launch(long blocks, int threads, ReadOnlySpan<KernelArgument> arguments) => Launch((blocks, 1), threads, arguments);
}

/// <summary>One argument of a kernel; made by conversion from the value.</summary>
internal readonly struct KernelArgument
{
    private KernelArgument(long bits) => Bits = bits;

    /// <summary>The value in the lower bytes, as the driver reads it.</summary>
    internal long Bits { get; }

    public static implicit operator KernelArgument(Tensor? value) => new(value is null ? 0 : TensorHandles.DataPointer(value));

    public static implicit operator KernelArgument(long value) => new(value);

    public static implicit operator KernelArgument(int value) => new(value);

    public static implicit operator KernelArgument(float value) => new(BitConverter.SingleToInt32Bits(value));
}

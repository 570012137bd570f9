using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Safetensors;
using static TorchSharp.torch;

namespace AccelerateSharp.Checkpoints.Safetensors;

/// <summary>Tensors over the memory of a mapped file. libtorch tells when the last of them has gone, and then the map is released.</summary>
internal static unsafe partial class MappedTensor
{
    // libtorch hands its deleter the address alone. Two tensors may begin at one, but only in one map.
    private static readonly Dictionary<nint, (SafetensorsMap Map, int Count)> _holders = [];
    private static readonly Lock _lock = new();

    /// <summary>The tensor, or null where it has no bytes or no address that its elements may have.</summary>
    internal static Tensor? TryCreate(SafetensorsReader reader, SafetensorsTensor tensor, ScalarType dtype)
    {
        if (tensor.ByteCount == 0) return null;
        var map = reader.Map();
        var address = checked((nint)(map.Address + reader.Header.DataStart + tensor.Begin));
        // The widest elements are of eight bytes; a complex number is two of half its size.
        if (address % Math.Min(8, tensor.ByteCount / tensor.ElementCount) != 0)
        {
            map.Release();
            return null;
        }
        lock (_lock)
        {
            _holders.TryGetValue(address, out var holder);
            _holders[address] = (map, holder.Count + 1);
        }
        var shape = tensor.Shape.ToArray();
        fixed (long* extents = shape)
        {
            var handle = THSTensor_new(address, &Release, extents, shape.Length, (sbyte)dtype, (sbyte)dtype, (int)TorchSharp.DeviceType.CPU, -1, requiresGrad: 0);
            if (handle == 0)
            {
                ReleaseHolder(address);
                NativeErrors.Check();
            }
            return Tensor.UnsafeCreateTensor(handle);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Release(nint address) => ReleaseHolder(address);

    private static void ReleaseHolder(nint address)
    {
        SafetensorsMap map;
        lock (_lock)
        {
            (map, var count) = _holders[address];
            if (count == 1) _holders.Remove(address);
            else _holders[address] = (map, count - 1);
        }
        map.Release();
    }

    [LibraryImport(NativeLibraries.TorchSharp)]
    private static partial nint THSTensor_new(
        nint data, delegate* unmanaged[Cdecl]<nint, void> deleter, long* sizes, int sizeCount, sbyte elementType, sbyte dtype, int deviceType, int deviceIndex, byte requiresGrad);
}

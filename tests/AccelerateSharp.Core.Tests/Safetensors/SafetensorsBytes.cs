using System.Buffers.Binary;
using System.Text;

namespace AccelerateSharp.Core.Tests.Safetensors;

/// <summary>Makes safetensors files.</summary>
internal static class SafetensorsBytes
{
    public const string TwoTensors =
        """{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}""";

    public static byte[] File(string json, int dataLength) => File(Encoding.UTF8.GetBytes(json), dataLength);

    public static byte[] File(ReadOnlySpan<byte> json, int dataLength)
    {
        var prefix = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(prefix, json.Length);
        return [.. prefix, .. json, .. new byte[dataLength]];
    }

    public static string Tensor(string dtype, string shape, long begin, long end) =>
        $$$"""{"a":{"dtype":"{{{dtype}}}","shape":{{{shape}}},"data_offsets":[{{{begin}}},{{{end}}}]}}""";
}

using static TorchSharp.torch;

namespace AccelerateSharp.Benchmarks.TrainLlama;

/// <summary>The same tokens here and in benchmarks/train_llama_peer.py: a hash (splitmix64) of their place in the stream.</summary>
internal static class Tokens
{
    /// <param name="block">Which batch of the stream: step times ranks plus rank.</param>
    /// <param name="batch">Rows.</param>
    /// <param name="length">Columns.</param>
    /// <param name="vocabulary">Number of tokens.</param>
    /// <param name="device">Where.</param>
    public static Tensor Make(long block, int batch, int length, int vocabulary, Device device)
    {
        var values = new long[(long)batch * length];
        for (var i = 0L; i < values.Length; i++)
        {
            var x = (ulong)((block * values.Length) + i + 1) * 0x9E3779B97F4A7C15UL;
            x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9UL;
            x = (x ^ (x >> 27)) * 0x94D049BB133111EBUL;
            values[i] = (long)((x ^ (x >> 31)) % (ulong)vocabulary);
        }

        using var host = tensor(values, [batch, length]);
        return host.to(device, copy: true);
    }
}

using AccelerateSharp.Distributed;
using AccelerateSharp.Safetensors;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Checkpoints.Safetensors;

/// <summary>A tensor of a file, and the tensor that it goes into.</summary>
internal readonly record struct TensorRead(SafetensorsReader Reader, SafetensorsTensor Source, Tensor Destination);

/// <summary>Reads tensors of files into tensors.</summary>
internal static class TensorReads
{
    /// <summary>What is read at once where the destination wants another dtype or layout, and so needs a second copy for a moment.</summary>
    private const long ConversionBytes = 1L << 30;

    internal static void Run(IReadOnlyList<TensorRead> reads)
    {
        using var noGrad = no_grad();
        foreach (var read in reads) Check(read);
        var direct = reads.Where(IsDirect).ToList();
        Fill(direct);
        var others = reads.Where(read => !IsDirect(read)).ToList();
        for (var start = 0; start < others.Count;)
        {
            var end = start;
            for (var bytes = 0L; end < others.Count && (end == start || bytes + others[end].Source.ByteCount <= ConversionBytes); end++)
                bytes += others[end].Source.ByteCount;
            Convert(others[start..end]);
            start = end;
        }
    }

    private static void Convert(List<TensorRead> reads)
    {
        using var scope = NewDisposeScope();
        var raw = reads.ConvertAll(read => read with
        {
            Destination = empty([.. read.Source.Shape], TensorDtypes.Of(read.Source, read.Reader.Path), read.Destination.device),
        });
        Fill(raw);
        for (var i = 0; i < reads.Count; i++) reads[i].Destination.copy_(raw[i].Destination);
    }

    private static void Fill(List<TensorRead> reads)
    {
        foreach (var byDevice in reads.Where(read => read.Source.ByteCount > 0).GroupBy(read => (Type: read.Destination.device_type, Index: read.Destination.device_index)))
        {
            var pieces = byDevice.SelectMany(read => new SafetensorsBytes(read.Reader, read.Source).Pieces(TensorData.Pointer(read.Destination))).ToList();
            if (byDevice.Key.Type == DeviceType.CUDA) GpuUploader.Run(pieces, byDevice.Key.Index);
            else BytePiece.ReadAll(pieces);
        }
        GC.KeepAlive(reads);
    }

    private static bool IsDirect(TensorRead read) =>
        read.Destination.is_contiguous() && read.Destination.dtype == TensorDtypes.Of(read.Source, read.Reader.Path)
        && read.Destination.device_type is DeviceType.CPU or DeviceType.CUDA;

    private static void Check(TensorRead read)
    {
        if (!read.Destination.shape.SequenceEqual(read.Source.Shape))
        {
            throw new ArgumentException(
                $"{read.Reader.Path}: tensor '{read.Source.Name}' is [{string.Join(", ", read.Source.Shape)}] in the file, but should be [{string.Join(", ", read.Destination.shape)}].");
        }
        if (read.Destination.device_type == DeviceType.META)
            throw new ArgumentException($"{read.Reader.Path}: tensor '{read.Source.Name}' cannot be read into a tensor on the meta device, which has no memory.");
    }
}

using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Parallel.Sharding;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Swap;

/// <summary>The parts of a sharded model's parameters that this rank keeps in a file, and the buffers through which they come.</summary>
/// <remarks>What the next unit needs is read while this one computes.</remarks>
internal sealed class ShardPages : IDisposable
{
    private readonly SwapSettings _settings;
    private readonly SwapFile _file;
    private readonly SwapBuffer[] _buffers;
    private readonly CudaEvent?[] _copied;
    private readonly Dictionary<FlatParameter, int> _ahead = [];
    private long _kept;
    private int _next;

    /// <param name="settings">Which folder, and how much stays in memory.</param>
    /// <param name="rank">This rank, for errors.</param>
    /// <param name="device">Where the parameters are copied to.</param>
    public ShardPages(SwapSettings settings, int rank, Device device)
    {
        _settings = settings;
        _file = SwapFile.Create(settings, rank);
        var isCuda = device.type == DeviceType.CUDA;
        _buffers = [.. Enumerable.Range(0, Math.Max(2, settings.BufferCount)).Select(_ => new SwapBuffer(isCuda))];
        _copied = [.. _buffers.Select(_ => isCuda ? CudaEvent.Create(CudaContext.Of(Math.Max(device.index, 0))) : null)];
        Single = new SwapBuffer(isCuda);
    }

    /// <summary>What single values are read and written through.</summary>
    public SwapBuffer Single { get; }

    /// <summary>Bytes in the file.</summary>
    public long FileBytes => _file.Length;

    /// <summary>Bytes of host memory that values pass through.</summary>
    public long BufferBytes => _buffers.Sum(buffer => buffer.Capacity) + Single.Capacity;

    /// <summary>Whether that many elements more go into the file; the first ones may stay in memory.</summary>
    public bool Takes(long elements)
    {
        if (_kept + elements > _settings.KeptElements) return true;
        _kept += elements;
        return false;
    }

    public PagedField Reserve(long count, ScalarType dtype) => PagedField.Reserve(_file, count, dtype);

    /// <summary>Starts to read a buffer that will be gathered soon, where there is room.</summary>
    public void ReadAhead(FlatParameter flat)
    {
        if (!flat.IsPaged || _ahead.ContainsKey(flat) || _ahead.Count >= _buffers.Length - 1 || !Fits(flat)) return;
        while (_ahead.ContainsValue(_next)) _next = (_next + 1) % _buffers.Length;
        Start(flat, _next);
        _ahead[flat] = _next;
        _next = (_next + 1) % _buffers.Length;
    }

    /// <summary>Copies what the file has of a flat buffer to where the gather expects it, on the current stream.</summary>
    /// <param name="flat">The buffer.</param>
    /// <param name="target">A tensor that is laid out like its shard.</param>
    public void CopyTo(FlatParameter flat, Tensor target)
    {
        if (!Fits(flat))
        {
            foreach (var parameter in flat.Parameters)
            {
                using var piece = flat.PieceOf(parameter, target);
                parameter.Page?.Read(Single, piece);
            }

            return;
        }

        if (!_ahead.Remove(flat, out var index))
        {
            while (_ahead.ContainsValue(_next)) _next = (_next + 1) % _buffers.Length;
            index = _next;
            Start(flat, index);
        }

        _buffers[index].Wait();
        var start = 0L;
        foreach (var parameter in flat.Parameters)
        {
            if (parameter.Page is not { } page) continue;
            using var piece = flat.PieceOf(parameter, target);
            using var view = _buffers[index].View(start, page.Count, page.Dtype);
            piece.copy_(view, true);
            start += page.ByteCount;
        }

        // The next reader of this buffer waits until the device has taken the copy.
        _copied[index]?.Record(TorchCuda.CurrentStream(Math.Max(target.device_index, 0)));
    }

    /// <summary>Forgets what was read ahead: the file is about to change.</summary>
    public void Invalidate() => _ahead.Clear();

    public void Dispose()
    {
        foreach (var buffer in _buffers)
        {
            Task.WhenAny(buffer.Pending).GetAwaiter().GetResult();
            buffer.Dispose();
        }

        foreach (var copied in _copied) copied?.Dispose();
        Single.Dispose();
        _file.Dispose();
    }

    private static long BytesOf(FlatParameter flat) => flat.Parameters.Sum(parameter => parameter.Page?.ByteCount ?? 0);

    private bool Fits(FlatParameter flat) => BytesOf(flat) <= _settings.BufferElements * PagedField.SizeOf(flat.Dtype) + (SwapFile.Alignment * (long)flat.Parameters.Count);

    private void Start(FlatParameter flat, int index)
    {
        var buffer = _buffers[index];
        buffer.Wait();
        _copied[index]?.Synchronize();
        buffer.EnsureCapacity(BytesOf(flat));
        var (start, reads) = (0L, new List<Task>());
        foreach (var page in flat.Parameters.Select(parameter => parameter.Page).OfType<PagedField>())
        {
            reads.Add(page.File.ReadAsync(page.Position, buffer.Address + (nint)start, page.ByteCount));
            start += page.ByteCount;
        }

        buffer.Pending = Task.WhenAll(reads);
    }
}

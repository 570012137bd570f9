using AccelerateSharp.Optimizers;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Swap;

/// <summary>Steps an optimizer whose states, or weights, live in files: piece by piece, the next one read and the last one written meanwhile.</summary>
/// <remarks>Rajbhandari et al., "ZeRO-Infinity", SC 2021. For optimizers that treat each element by itself.</remarks>
internal sealed class OptimizerPager : IDisposable
{
    private readonly SwapSettings _settings;
    private readonly SwapFile? _states;
    private readonly Func<Parameter, PagedField?> _weightOf;
    private readonly SwapBuffer[] _buffers;
    private readonly SwapBuffer _single;
    private readonly Dictionary<Parameter, PagedState> _paged = new(ReferenceEqualityComparer.Instance);

    /// <param name="settings">How large buffers are, and how many.</param>
    /// <param name="states">Where states live; null: in memory.</param>
    /// <param name="weightOf">Where the values of a parameter live; null for those in memory.</param>
    /// <param name="pinned">Whether a GPU copies from or to the buffers.</param>
    public OptimizerPager(SwapSettings settings, SwapFile? states, Func<Parameter, PagedField?> weightOf, bool pinned)
    {
        (_settings, _states, _weightOf) = (settings, states, weightOf);
        _buffers = [.. Enumerable.Range(0, Math.Max(2, settings.BufferCount)).Select(_ => new SwapBuffer(pinned))];
        _single = new SwapBuffer(pinned);
    }

    /// <summary>Bytes of host memory that pieces pass through.</summary>
    public long BufferBytes => _buffers.Sum(buffer => buffer.Capacity) + _single.Capacity;

    /// <summary>Elements of one piece: whole blocks in every dtype.</summary>
    public static long PieceElements(SwapSettings settings) => Math.Max(SwapFile.Alignment, settings.BufferElements / SwapFile.Alignment * SwapFile.Alignment);

    /// <summary>The states of a parameter, in the file; null where states live in memory.</summary>
    public PagedState? StateOf(Parameter parameter)
    {
        if (_states is null) return null;
        if (!_paged.TryGetValue(parameter, out var state)) _paged[parameter] = state = new PagedState(parameter, PieceElements(_settings), _states, _single);
        return state;
    }

    /// <summary>Updates parameters of one group.</summary>
    /// <param name="updates">Parameters with their gradients.</param>
    /// <param name="update">The optimizer's own update of some of them.</param>
    public void Run(IReadOnlyList<ParameterUpdate> updates, Action<List<ParameterUpdate>> update)
    {
        var groups = Divide(updates);
        // With two buffers the next group is read while one is updated; with more, the last one is written meanwhile too.
        var ahead = _buffers.Length > 2 ? _buffers.Length - 2 : 1;
        var begun = 0;
        try
        {
            for (var i = 0; i < groups.Count; i++)
            {
                for (; begun < groups.Count && begun <= i + ahead; begun++) Read(groups[begun], _buffers[begun % _buffers.Length]);
                var buffer = _buffers[i % _buffers.Length];
                buffer.Wait();
                using var scope = NewDisposeScope();
                var work = groups[i].ConvertAll(item => item.Open(buffer));
                update(work);
                foreach (var item in groups[i]) item.Close(_states, _single);
                Write(groups[i], buffer);
            }
        }
        finally
        {
            // Also after a failure: nothing may still be read or written where memory is given away.
            Task.WhenAny(Task.WhenAll(_buffers.Select(buffer => buffer.Pending))).GetAwaiter().GetResult();
        }

        foreach (var buffer in _buffers) buffer.Wait();
    }

    public void Dispose()
    {
        foreach (var state in _paged.Values) state.Dispose();
        foreach (var buffer in _buffers) buffer.Dispose();
        _single.Dispose();
        _states?.Dispose();
    }

    /// <summary>Pieces together up to a buffer's elements.</summary>
    private List<List<PagedUpdate>> Divide(IReadOnlyList<ParameterUpdate> updates)
    {
        var groups = new List<List<PagedUpdate>>();
        var room = 0L;
        foreach (var update in updates)
        {
            var weight = _weightOf((Parameter)update.Parameter);
            // Nothing of it is in a file: it needs no buffer, and no cutting.
            var pieces = StateOf((Parameter)update.Parameter)?.Pieces ?? (IReadOnlyList<PagedState.Piece?>)[null];
            foreach (var piece in pieces)
            {
                var item = new PagedUpdate(update, piece, piece is null ? weight : weight?.Part(piece.Start, piece.Count));
                if (groups.Count == 0 || room < item.Count)
                {
                    groups.Add([]);
                    room = PieceElements(_settings);
                }

                groups[^1].Add(item);
                room -= item.Count;
            }
        }

        return groups;
    }

    private static void Read(List<PagedUpdate> group, SwapBuffer buffer)
    {
        buffer.Wait();
        var position = 0L;
        foreach (var item in group) position = item.Place(position);
        buffer.EnsureCapacity(position);
        buffer.Pending = Task.WhenAll(group.SelectMany(item => item.Placed)
            .Select(place => place.Field.File.ReadAsync(place.Field.Position, buffer.Address + (nint)place.Start, place.Field.ByteCount)).ToList());
    }

    private static void Write(List<PagedUpdate> group, SwapBuffer buffer) => buffer.Pending = Task.WhenAll(group.SelectMany(item => item.Placed)
        .Select(place => place.Field.File.WriteAsync(place.Field.Position, buffer.Address + (nint)place.Start, place.Field.ByteCount)).ToList());
}

using AccelerateSharp.Optimizers;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Swap;

/// <summary>The update of a parameter, or of a piece of one, whose states or values are in a file.</summary>
/// <param name="whole">The update of the parameter.</param>
/// <param name="piece">The piece and its states; null: the states of all of it are in memory.</param>
/// <param name="weight">The values in a file; null: they are in memory.</param>
internal sealed class PagedUpdate(ParameterUpdate whole, PagedState.Piece? piece, PagedField? weight)
{
    private readonly List<string> _names = [];

    private ParameterState State => piece?.State ?? whole.State;

    public long Count => piece?.Count ?? whole.Parameter.numel();

    /// <summary>What the buffer has of it, and where.</summary>
    public List<(PagedField Field, long Start)> Placed { get; } = [];

    /// <summary>Takes room in a buffer from a position on.</summary>
    /// <returns>The position behind it.</returns>
    public long Place(long position)
    {
        foreach (var (name, field) in piece?.Fields ?? [])
        {
            _names.Add(name);
            position = Place(field, position);
        }

        return weight is null ? position : Place(weight, position);
    }

    /// <summary>What the optimizer updates: views of the buffer.</summary>
    public ParameterUpdate Open(SwapBuffer buffer)
    {
        for (var i = 0; i < _names.Count; i++) State.Set(_names[i], View(buffer, i));
        var parameter = weight is not null ? View(buffer, _names.Count) : Part(whole.Parameter);
        return new ParameterUpdate(parameter, Part(whole.Gradient), State);
    }

    /// <summary>After the update: what the optimizer has made moves into the file, and nothing is left in memory but numbers.</summary>
    /// <param name="file">Where states are kept; null: in memory.</param>
    /// <param name="buffer">What new states are written through.</param>
    public void Close(SwapFile? file, SwapBuffer buffer)
    {
        if (file is null || piece is null) return;
        foreach (var (name, tensor) in State.Tensors.Where(pair => pair.Value.dim() > 0).ToList())
        {
            State.Forget(name);
            if (!_names.Contains(name)) piece.FieldFor(name, tensor.dtype, file).Write(buffer, tensor);
            tensor.Dispose();
        }
    }

    private long Place(PagedField field, long position)
    {
        Placed.Add((field, position));
        return position + field.ByteCount;
    }

    private Tensor View(SwapBuffer buffer, int place) => buffer.View(Placed[place].Start, Placed[place].Field.Count, Placed[place].Field.Dtype);

    private Tensor Part(Tensor tensor) => piece is null ? tensor : tensor.narrow(0, piece.Start, piece.Count);
}

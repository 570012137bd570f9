using AccelerateSharp.Optimizers;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Swap;

/// <summary>What an optimizer remembers of one parameter, in a file: in pieces, so that a large parameter is updated within a bounded memory.</summary>
internal sealed class PagedState : IDisposable
{
    private readonly SwapFile _file;
    private readonly SwapBuffer _buffer;

    /// <param name="parameter">The parameter, of one dimension.</param>
    /// <param name="pieceElements">Elements of one piece.</param>
    /// <param name="file">Where the values are kept.</param>
    /// <param name="buffer">What single values are read and written through.</param>
    public PagedState(Parameter parameter, long pieceElements, SwapFile file, SwapBuffer buffer)
    {
        (_file, _buffer) = (file, buffer);
        var count = parameter.numel();
        for (var start = 0L; start < count; start += pieceElements) Pieces.Add(new Piece(parameter, start, Math.Min(pieceElements, count - start)));
    }

    public List<Piece> Pieces { get; } = [];

    /// <summary>Whether there is anything yet.</summary>
    public bool IsEmpty => Pieces.TrueForAll(piece => piece.Fields.Count == 0 && piece.State.IsEmpty);

    /// <summary>All of it, in memory: new tensors, which go with the current dispose scope.</summary>
    public IReadOnlyDictionary<string, Tensor> Read()
    {
        using var noGrad = no_grad();
        var result = new OrderedDictionary<string, Tensor>();
        if (Pieces.Count == 0) return result;
        foreach (var (name, number) in Pieces[0].State.Tensors) result[name] = number.clone();
        foreach (var (name, first) in Pieces[0].Fields)
        {
            var whole = result[name] = empty(Pieces.Sum(piece => piece.Count), first.Dtype);
            foreach (var piece in Pieces)
            {
                using var part = whole.narrow(0, piece.Start, piece.Count);
                piece.Fields[name].Read(_buffer, part);
            }
        }

        return result;
    }

    /// <summary>Replaces one field.</summary>
    public void Write(string name, Tensor value)
    {
        using var noGrad = no_grad();
        foreach (var piece in Pieces)
        {
            if (value.dim() == 0)
            {
                piece.State.Set(name, value.clone());
                continue;
            }

            using var part = value.detach().narrow(0, piece.Start, piece.Count).to(CPU);
            piece.FieldFor(name, part.dtype, _file).Write(_buffer, part);
        }

        value.Dispose();
    }

    public void Clear()
    {
        foreach (var piece in Pieces)
        {
            piece.State.Clear();
            piece.Fields.Clear();
        }
    }

    public void Dispose() => Clear();

    /// <summary>A part of the parameter that is updated at once.</summary>
    internal sealed class Piece(Parameter parameter, long start, long count)
    {
        public long Start => start;

        public long Count => count;

        /// <summary>What the update works with: numbers always, tensors only meanwhile.</summary>
        public ParameterState State { get; } = new(parameter);

        public OrderedDictionary<string, PagedField> Fields { get; } = [];

        /// <summary>A field's place in the file, made at its first use.</summary>
        public PagedField FieldFor(string name, ScalarType dtype, SwapFile file)
        {
            if (Fields.TryGetValue(name, out var field) && field.Dtype == dtype) return field;
            return Fields[name] = PagedField.Reserve(file, count, dtype);
        }
    }
}

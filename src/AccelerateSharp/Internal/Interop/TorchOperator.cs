using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>Any operator of libtorch, called through its dispatcher: autograd, autocast and device choice work as for every other.</summary>
/// <remarks>
/// A call costs a few microseconds more than one of TorchSharp's own: for what TorchSharp does not have, and for operators that do
/// much at once, such as the <c>_foreach</c> and <c>_fused</c> ones.
/// </remarks>
/// <example><code>
/// private static readonly TorchOperator _mul = TorchOperator.Get("aten::mul.Tensor(Tensor self, Tensor other) -> Tensor");
/// using var product = _mul.CallForTensor(a, b);
/// </code></example>
internal sealed unsafe class TorchOperator
{
    private static readonly ConcurrentDictionary<string, TorchOperator> _known = new();

    private readonly TorchSchema _schema;
    private readonly nint _name;
    private readonly nint _overload;

    private TorchOperator(TorchSchema schema)
    {
        _schema = schema;
        // Operators are few and live as long as the process, and so do their names.
        _name = Marshal.StringToCoTaskMemUTF8(schema.Name);
        _overload = Marshal.StringToCoTaskMemUTF8(schema.Overload);
    }

    internal string Name => _schema.FullName;

    /// <summary>The operator with this schema, as libtorch's <c>native_functions.yaml</c> writes it.</summary>
    internal static TorchOperator Get(string schema) => _known.GetOrAdd(schema, static text => new TorchOperator(TorchSchema.Parse(text)));

    /// <summary>Calls the operator and drops its results: for operators that write in place.</summary>
    /// <exception cref="ArgumentException">An argument does not fit the schema; nothing was called.</exception>
    /// <exception cref="ExternalException">The operator failed; libtorch has written the cause to the standard error stream.</exception>
    internal void Call(params ReadOnlySpan<TorchArgument> arguments)
    {
        Span<ulong> stack = stackalloc ulong[StackSize];
        Invoke(stack, arguments);
        for (var i = 0; i < _schema.Results.Count; i++)
            foreach (var handle in Handles(stack[i], _schema.Results[i])) TensorHandles.Release(handle);
    }

    /// <inheritdoc cref="Call"/>
    /// <returns>The only result, in the current dispose scope.</returns>
    internal Tensor CallForTensor(params ReadOnlySpan<TorchArgument> arguments)
    {
        if (_schema.Results is not [{ Kind: TorchKind.Tensor, IsList: false }])
            throw new InvalidOperationException($"{Name} does not return exactly one tensor.");
        Span<ulong> stack = stackalloc ulong[StackSize];
        Invoke(stack, arguments);
        return Tensor.UnsafeCreateTensor((nint)stack[0]);
    }

    /// <inheritdoc cref="Call"/>
    /// <returns>All tensors of the results in order, those of a list one by one, in the current dispose scope.</returns>
    internal Tensor[] CallForTensors(params ReadOnlySpan<TorchArgument> arguments)
    {
        Span<ulong> stack = stackalloc ulong[StackSize];
        Invoke(stack, arguments);
        var tensors = new List<Tensor>();
        for (var i = 0; i < _schema.Results.Count; i++)
            foreach (var handle in Handles(stack[i], _schema.Results[i])) tensors.Add(Tensor.UnsafeCreateTensor(handle));
        return [.. tensors];
    }

    /// <inheritdoc cref="Call"/>
    /// <returns>The only result, a whole number.</returns>
    internal long CallForInteger(params ReadOnlySpan<TorchArgument> arguments)
    {
        if (_schema.Results is not [{ Kind: TorchKind.Int, IsList: false }])
            throw new InvalidOperationException($"{Name} does not return exactly one integer.");
        Span<ulong> stack = stackalloc ulong[StackSize];
        Invoke(stack, arguments);
        return (long)stack[0];
    }

    private int StackSize => Math.Max(1, Math.Max(_schema.Parameters.Count, _schema.Results.Count));

    private static nint[] Handles(ulong word, TorchType type) => type switch
    {
        { Kind: not TorchKind.Tensor } => [],
        { IsList: true } => Array.ConvertAll(StableAbi.TakeList((nint)word), static item => (nint)item),
        _ => [(nint)word],
    };

    private void Invoke(Span<ulong> stack, ReadOnlySpan<TorchArgument> arguments)
    {
        CheckArguments(arguments);
        var parameters = _schema.Parameters;
        for (var i = 0; i < parameters.Count; i++)
        {
            var argument = i < arguments.Length ? arguments[i] : parameters[i].Default!.Value;
            stack[i] = ToWord(argument, parameters[i].Type);
        }
        fixed (ulong* pointer = stack)
        {
            if (StableAbi.torch_call_dispatcher(_name, _overload, pointer, StableAbi.Version) != 0)
                throw new ExternalException($"{Name} failed; libtorch wrote the cause to the standard error stream. Arguments: {Describe(arguments)}.");
        }
    }

    private void CheckArguments(ReadOnlySpan<TorchArgument> arguments)
    {
        var parameters = _schema.Parameters;
        if (arguments.Length > parameters.Count)
            throw new ArgumentException($"{Name} takes {parameters.Count} arguments, not {arguments.Length}.", nameof(arguments));
        for (var i = 0; i < parameters.Count; i++)
        {
            var parameter = parameters[i];
            if (i >= arguments.Length)
            {
                if (parameter.Default is null)
                    throw new ArgumentException($"{Name} needs a value for its parameter '{parameter.Name}' ({parameter.Text}).", nameof(arguments));
                continue;
            }
            var argument = arguments[i];
            if (!parameter.Type.Accepts(argument))
                throw new ArgumentException($"{Name}: parameter '{parameter.Name}' is {parameter.Text}, not {argument}.", nameof(arguments));
            CheckTensors(argument, parameter);
        }
    }

    private void CheckTensors(in TorchArgument argument, TorchParameter parameter)
    {
        switch (argument.Reference)
        {
            case Tensor { IsInvalid: true }:
                throw new ArgumentException($"{Name}: the tensor for parameter '{parameter.Name}' has been disposed.", nameof(argument));
            case IReadOnlyList<Tensor?> list:
                for (var i = 0; i < list.Count; i++)
                {
                    if (list[i] is { IsInvalid: true })
                        throw new ArgumentException($"{Name}: tensor {i} of parameter '{parameter.Name}' has been disposed.", nameof(argument));
                    if (list[i] is null && !parameter.Type.HasOptionalElements)
                        throw new ArgumentException($"{Name}: tensor {i} of parameter '{parameter.Name}' is null.", nameof(argument));
                }
                break;
        }
    }

    private static ulong ToWord(in TorchArgument argument, TorchType type)
    {
        if (argument.Kind == TorchKind.None) return 0;
        var word = argument.Reference switch
        {
            null => (ulong)argument.Bits,
            Tensor tensor => (ulong)TensorHandles.Duplicate(tensor.Handle),
            string text => (ulong)StableAbi.NewString(text),
            IReadOnlyList<Tensor?> tensors => ToList(tensors, type.HasOptionalElements),
            long[] integers => ToList(integers),
            double[] numbers => ToList(Array.ConvertAll(numbers, BitConverter.DoubleToInt64Bits)),
            var other => throw new NotSupportedException(other.GetType().Name),
        };
        return type.IsOptional ? StableAbi.Box(word) : word;
    }

    private static ulong ToList(IReadOnlyList<Tensor?> tensors, bool optional)
    {
        var list = StableAbi.NewList(tensors.Count);
        for (var i = 0; i < tensors.Count; i++)
        {
            var word = tensors[i] is { } tensor ? (ulong)TensorHandles.Duplicate(tensor.Handle) : 0;
            StableAbi.Add(list, optional && word != 0 ? StableAbi.Box(word) : word);
        }
        return (ulong)list;
    }

    private static ulong ToList(long[] values)
    {
        var list = StableAbi.NewList(values.Length);
        foreach (var value in values) StableAbi.Add(list, (ulong)value);
        return (ulong)list;
    }

    /// <summary>Types and shapes, which is what most failures are about.</summary>
    private static string Describe(ReadOnlySpan<TorchArgument> arguments)
    {
        var texts = new List<string>();
        foreach (var argument in arguments)
        {
            texts.Add(argument.Reference switch
            {
                Tensor tensor => Describe(tensor),
                IReadOnlyList<Tensor?> list => $"[{list.Count} tensors{(list is [{ } first, ..] ? $", the first {Describe(first)}" : "")}]",
                _ => argument.ToString(),
            });
        }
        return string.Join(", ", texts);
    }

    private static string Describe(Tensor tensor) => $"{tensor.dtype}[{string.Join(", ", tensor.shape)}] on {tensor.device}";
}

using TorchSharp;

namespace AccelerateSharp;

public sealed partial class PartialState
{
    /// <summary>This process' contiguous share of a list. The first ranks get one item more where it does not divide evenly.</summary>
    /// <param name="inputs">The whole list, the same on every process.</param>
    /// <param name="applyPadding">Repeat the list's last item until all shares are equally long, so that they can be gathered.</param>
    /// <returns>A list of its own; the input is left as it is. With fewer items than processes a share can be empty.</returns>
    public IReadOnlyList<T> SplitBetweenProcesses<T>(IReadOnlyList<T> inputs, bool applyPadding = false)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        var (start, count, padded) = Share(inputs.Count);
        var share = new List<T>(padded);
        for (var i = start; i < start + count; i++) share.Add(inputs[i]);
        while (applyPadding && inputs.Count > 0 && share.Count < padded) share.Add(inputs[^1]);
        return share;
    }

    /// <summary>This process' contiguous share of a tensor's rows.</summary>
    /// <param name="inputs">The whole tensor, the same on every process; split along dimension 0.</param>
    /// <param name="applyPadding">Repeat the last row until all shares are equally long.</param>
    /// <returns>Rows of shape [share, …], on the input's device.</returns>
    public torch.Tensor SplitBetweenProcesses(torch.Tensor inputs, bool applyPadding = false)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        if (inputs.dim() == 0) throw new ArgumentException("A tensor without dimensions cannot be split between processes.", nameof(inputs));
        var (start, count, padded) = Share((int)inputs.shape[0]);
        var share = inputs.narrow(0, start, count);
        if (!applyPadding || count == padded || inputs.shape[0] == 0) return share;
        using var last = inputs.narrow(0, inputs.shape[0] - 1, 1);
        using (share) return torch.cat([share, .. Enumerable.Repeat(last, padded - count)]);
    }

    /// <summary>This process' share of each of several lists of one length, under their keys.</summary>
    /// <exception cref="ArgumentException">The lists differ in length; the message names two that do.</exception>
    public IReadOnlyDictionary<TKey, IReadOnlyList<T>> SplitBetweenProcesses<TKey, T>(
        IReadOnlyDictionary<TKey, IReadOnlyList<T>> inputs, bool applyPadding = false)
        where TKey : notnull
    {
        ArgumentNullException.ThrowIfNull(inputs);
        foreach (var (key, values) in inputs)
        {
            var (firstKey, first) = inputs.First();
            if (values.Count != first.Count)
                throw new ArgumentException($"All values must have one length to be split: '{firstKey}' has {first.Count} items, '{key}' has {values.Count}.", nameof(inputs));
        }

        return inputs.ToDictionary(pair => pair.Key, pair => SplitBetweenProcesses(pair.Value, applyPadding));
    }

    /// <summary>Start and length of this rank's share of <paramref name="length"/> items, and the length that padding brings all shares to.</summary>
    private (int Start, int Count, int Padded) Share(int length)
    {
        var (quotient, extras) = Math.DivRem(length, NumProcesses);
        var start = (ProcessIndex * quotient) + Math.Min(ProcessIndex, extras);
        return (start, quotient + (ProcessIndex < extras ? 1 : 0), quotient + (extras > 0 ? 1 : 0));
    }
}

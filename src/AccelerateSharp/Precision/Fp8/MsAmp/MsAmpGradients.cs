using AccelerateSharp.Parallel;
using TorchSharp;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>Keeps MS-AMP's gradients through accumulation windows, and averages them over the ranks in float8.</summary>
/// <remarks>
/// No library adds float8 numbers over ranks, and added in float8 they would overflow or lose their small parts, for which FP8-LM
/// scales by hand. Here each rank sends the codes of the part that another one is responsible for, with the scale of each tensor; that
/// one adds what the codes stand for in float32, the ranks agree on the largest magnitude of each sum, and the sums travel as codes
/// again. One byte for each element each way, and two roundings, whatever the number of ranks.
/// </remarks>
internal sealed class MsAmpGradients(Module model, IReadOnlyList<MsAmpWeight> weights, ProcessGroup? group) : IGradientSynchronizer
{
    /// <summary>Elements that are exchanged at once.</summary>
    private const long PieceElements = 64L << 20;

    private bool _synchronize;

    public Module Model => model;

    public IReadOnlyList<MsAmpWeight> Weights => weights;

    public void BeforeBackward(bool synchronize)
    {
        _synchronize = synchronize;
        foreach (var weight in weights) weight.Withdraw();
    }

    public void AfterBackward(bool hide)
    {
        using var noGrad = no_grad();
        if (_synchronize && group is not null) Average(group);
        foreach (var weight in weights) weight.Show(visible: !hide);
    }

    public void AbandonBackward()
    {
        foreach (var weight in weights) weight.SetCodes(null);
    }

    public void Dispose()
    {
        foreach (var weight in weights) weight.Dispose();
    }

    private void Average(ProcessGroup group)
    {
        var piece = new List<MsAmpWeight>();
        var elements = 0L;
        foreach (var weight in weights)
        {
            piece.Add(weight);
            elements += weight.Parameter.numel();
            if (elements < PieceElements) continue;
            Average(group, piece);
            (piece, elements) = ([], 0);
        }

        if (piece.Count > 0) Average(group, piece);
    }

    private static void Average(ProcessGroup group, IReadOnlyList<MsAmpWeight> piece)
    {
        using var scope = NewDisposeScope();
        var device = piece[0].Parameter.device;
        // Row r goes to rank r: its part of each tensor, one behind the other.
        long[] lengths = [.. piece.Select(weight => (weight.Parameter.numel() + group.Size - 1) / group.Size)];
        long[] starts = [.. lengths.Select((_, i) => lengths.Take(i).Sum())];
        var parts = zeros([group.Size, lengths.Sum()], dtype: ScalarType.Byte, device: device);
        var inverses = zeros(piece.Count, dtype: ScalarType.Float32, device: device);
        for (var i = 0; i < piece.Count; i++)
        {
            if (piece[i].GradientCodes is not { } codes) continue;
            Fill(parts.narrow(1, starts[i], lengths[i]), Bytes(codes));
            inverses[i].copy_(piece[i].GradientInverse[0]);
        }

        var received = empty_like(parts);
        group.AllToAll(received, parts);
        var allInverses = empty([group.Size, piece.Count], dtype: ScalarType.Float32, device: device);
        group.AllGather(allInverses, inverses);

        // The sum of what the codes of all ranks stand for, of this rank's part.
        using Scalar share = 1.0 / group.Size;
        var sums = new Tensor[piece.Count];
        for (var i = 0; i < piece.Count; i++)
        {
            var numbers = Codes(received.narrow(1, starts[i], lengths[i]).contiguous()).to(ScalarType.Float32);
            sums[i] = numbers.mul_(allInverses.narrow(1, i, 1)).sum([0L]).mul_(share);
        }

        var amax = stack([.. sums.Select(sum => sum.abs().max())]);
        group.AllReduce(amax, ReduceOp.Max);
        var scales = Float8Quantizer.ScaleFor(amax, MsAmpWeight.Kind, 1);
        using Scalar lowest = -MsAmpWeight.Kind.Max(), largest = MsAmpWeight.Kind.Max();
        var mine = cat([.. sums.Select((sum, i) => Bytes(sum.mul_(scales[i]).clamp_(lowest, largest).to(MsAmpWeight.Kind.Dtype())))]);
        group.AllGather(parts, mine);

        bool[]? present = null;
        for (var i = 0; i < piece.Count; i++)
        {
            // Only a rank without a gradient of its own has to look whether another one had it.
            if (piece[i].GradientCodes is null && !(present ??= ReadPresence(allInverses))[i]) continue;
            var codes = Codes(parts.narrow(1, starts[i], lengths[i]).reshape(-1).narrow(0, 0, piece[i].Parameter.numel()).clone());
            piece[i].SetCodes(codes.view(piece[i].Parameter.shape));
            piece[i].GradientInverse.copy_(scales[i].reciprocal().reshape(1));
        }
    }

    private static void Fill(Tensor rows, Tensor bytes)
    {
        var padded = rows.numel() == bytes.numel() ? bytes.view(-1) : cat([bytes.view(-1), zeros(rows.numel() - bytes.numel(), dtype: ScalarType.Byte, device: bytes.device)]);
        rows.copy_(padded.view(rows.shape));
    }

    private static bool[] ReadPresence(Tensor inverses) => inverses.amax([0L]).gt(0).cpu().data<bool>().ToArray();

    private static Tensor Bytes(Tensor codes) => Float8Kinds.Reinterpret(codes, ScalarType.Byte);

    private static Tensor Codes(Tensor bytes) => Float8Kinds.Reinterpret(bytes, MsAmpWeight.Kind.Dtype());
}

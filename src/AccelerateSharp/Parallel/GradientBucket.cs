using static TorchSharp.torch;

namespace AccelerateSharp.Parallel;

/// <summary>Gradients of some parameters in one flat buffer, averaged over the ranks by one all-reduce.</summary>
/// <remarks>
/// Behind the gradients the buffer carries one flag for each parameter: 1 where this rank has a gradient. The average of a flag is
/// above zero exactly where some rank had one, so a parameter that nobody used keeps no gradient, at no extra collective.
/// </remarks>
internal sealed class GradientBucket : IDisposable
{
    private readonly Tensor _flat;
    private readonly Tensor _flags;
    private Work? _work;

    public GradientBucket(IReadOnlyList<ParameterGradient> members, bool late)
    {
        Members = members;
        IsLate = late;
        var first = members[0].Parameter;
        var numel = members.Sum(member => member.Parameter.numel());
        using var scope = NewDisposeScope();
        _flat = zeros(numel + members.Count, first.dtype, first.device).DetachFromDisposeScope();
        _flags = _flat.narrow(0, numel, members.Count).DetachFromDisposeScope();
        var offset = 0L;
        for (var i = 0; i < members.Count; i++)
        {
            var parameter = members[i].Parameter;
            var view = _flat.narrow(0, offset, parameter.numel()).view(parameter.shape).DetachFromDisposeScope();
            members[i].MoveTo(this, i, view);
            offset += parameter.numel();
        }
    }

    public IReadOnlyList<ParameterGradient> Members { get; }

    /// <summary>Reduced only after the backward pass: its parameters report no moment at which their gradients are complete.</summary>
    public bool IsLate { get; }

    /// <summary>Forwards whose gradients have yet to arrive here.</summary>
    public int Pending { get; set; }

    public bool IsLaunched => _work is not null;

    public void Launch(ProcessGroup group)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        _flags.fill_(1);
        foreach (var member in Members)
        {
            if (member.Held) continue;
            member.View.zero_();
            _flags[member.Index].zero_();
        }

        _work = group.AllReduceAsync(_flat, ReduceOp.Avg);
    }

    /// <summary>Waits for the average and shows it as the parameters' gradients.</summary>
    public void Finish()
    {
        _work!.Wait();
        _work = null;
        float[]? flags = null;
        foreach (var member in Members)
        {
            if (!member.Held)
            {
                // Only a parameter without a gradient here has to look whether another rank had one: the usual step reads nothing back.
                flags ??= ReadFlags();
                member.Held = flags[member.Index] > 0;
            }

            if (member.Held) member.Show();
        }
    }

    /// <summary>Forgets a reduction that failed.</summary>
    public void Abandon() => _work = null;

    public void Dispose()
    {
        _flags.Dispose();
        _flat.Dispose();
    }

    private float[] ReadFlags()
    {
        using var scope = NewDisposeScope();
        return _flags.to(ScalarType.Float32).cpu().data<float>().ToArray();
    }
}

using AccelerateSharp.Internal.Interop;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Parallel;

/// <summary>One parameter's place in its bucket, and what is known of its gradient.</summary>
internal sealed class ParameterGradient(ParameterSlot slot, int order)
{
    public ParameterSlot Slot { get; } = slot;

    public Parameter Parameter { get; } = slot.Parameter;

    public string Name => Slot.Name;

    /// <summary>Position among the model's trainable parameters, the same on every rank.</summary>
    public int Order { get; } = order;

    public GradientBucket Bucket { get; private set; } = null!;

    /// <summary>Position in the bucket.</summary>
    public int Index { get; private set; }

    /// <summary>The gradient inside the bucket's buffer, in the parameter's shape.</summary>
    public Tensor View { get; private set; } = null!;

    /// <summary>Whether <see cref="View"/> holds a gradient that the next one is added to.</summary>
    public bool Held { get; set; }

    /// <summary>Whether a held gradient is kept from the user's optimizer, whose step then passes the parameter over.</summary>
    public bool Hidden { get; private set; }

    public void MoveTo(GradientBucket bucket, int index, Tensor view)
    {
        using (var old = View)
            if (old is not null && Held) view.copy_(old);
        (Bucket, Index, View) = (bucket, index, view);
    }

    /// <summary>Adds a gradient that has arrived.</summary>
    public void Add(Tensor gradient)
    {
        if (Held) View.add_(gradient);
        else View.copy_(gradient);
        Held = true;
    }

    /// <summary>Takes back what the user can see, so that whatever stands in the parameter's own gradient afterwards arrived past the bucket.</summary>
    public void Withdraw()
    {
        if (Hidden) return;
        using var visible = Parameter.grad;
        Held = visible is not null;
        if (visible is null) return;
        if (!SharesMemory(visible, View)) View.copy_(visible);
        Parameter.grad = null;
    }

    /// <summary>Lets the user see the gradient: as a view of the bucket, without a copy.</summary>
    public void Show()
    {
        Parameter.grad = View;
        Hidden = false;
    }

    /// <summary>Keeps the gradient from the user until the step that it accumulates for.</summary>
    public void Hide()
    {
        Parameter.grad = null;
        Hidden = true;
    }

    private static bool SharesMemory(Tensor a, Tensor b) => TensorStorage.Address(a) == TensorStorage.Address(b) && a.storage_offset() == b.storage_offset();
}

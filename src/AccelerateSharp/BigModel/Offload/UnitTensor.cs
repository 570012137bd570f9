using static TorchSharp.torch;

namespace AccelerateSharp.BigModel;

/// <summary>An offloaded tensor as a part of a unit.</summary>
/// <param name="Tensor">The model's tensor.</param>
/// <param name="Weight">Where its values are.</param>
/// <param name="Offset">Its first byte in the memory that the unit is loaded into.</param>
/// <param name="HadValues">Whether the module held the values itself before they were offloaded.</param>
internal sealed record UnitTensor(ModelTensor Tensor, OffloadedWeight Weight, long Offset, bool HadValues)
{
    /// <summary>What the module computes with.</summary>
    public ScalarType Dtype { get; } = Tensor.Dtype;

    /// <summary>Whether the unit's memory holds it.</summary>
    public bool NeedsMemory => Weight.Bytes is not null;

    /// <summary>Gives the module the values back, on the CPU, if it had them.</summary>
    public void Restore()
    {
        if (!HadValues || !Tensor.IsEmpty) return;
        if (Weight.Value is { device_type: TorchSharp.DeviceType.CPU } kept)
        {
            Tensor.Put(kept);
            return;
        }
        using var stored = Weight.Read();
        using var value = stored.to(Dtype);
        Tensor.Put(value);
    }

    /// <summary>The tensor within memory that the unit was loaded into.</summary>
    public Tensor In(Tensor memory)
    {
        using var bytes = memory.narrow(0, Offset, Weight.Bytes!.ByteCount);
        using var elements = BlockSlot.View(bytes, Weight.Stored);
        return elements.view(Weight.Shape).DetachFromDisposeScope();
    }
}

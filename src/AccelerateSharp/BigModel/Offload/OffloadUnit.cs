using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>Offloaded weights that are loaded and released together, around the <c>call</c> of one module.</summary>
internal sealed class OffloadUnit
{
    /// <summary>GPU kernels read weights fastest from such addresses, and elements of every size may begin there.</summary>
    public const int Alignment = 256;

    /// <param name="name">The module's dotted name.</param>
    /// <param name="module">The module.</param>
    /// <param name="device">Where it computes.</param>
    /// <param name="weights">Its offloaded tensors.</param>
    /// <param name="isNested">Whether modules below it have units of their own, which are entered while this one computes.</param>
    public OffloadUnit(string name, Module module, Device device, IEnumerable<(ModelTensor Tensor, OffloadedWeight Weight, bool HadValues)> weights, bool isNested)
    {
        (Name, Module, Device, IsNested) = (name, module, device, isNested);
        var tensors = new List<UnitTensor>();
        foreach (var (tensor, weight, hadValues) in weights)
        {
            tensors.Add(new UnitTensor(tensor, weight, ByteCount, hadValues));
            if (weight.Bytes is { } bytes) ByteCount += Align(bytes.ByteCount);
        }
        Tensors = tensors;
    }

    /// <summary>The room that a tensor of this size takes.</summary>
    public static long Align(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;

    public string Name { get; }

    public Module Module { get; }

    public Device Device { get; }

    public IReadOnlyList<UnitTensor> Tensors { get; }

    public bool IsNested { get; }

    /// <summary>Memory that it is loaded into, in bytes; zero where everything is put in as it is.</summary>
    public long ByteCount { get; }

    /// <summary>The unit that was entered after this one the last time.</summary>
    public OffloadUnit? Next { get; set; }

    /// <summary>Calls that run: more than one where the module calls itself.</summary>
    public int Depth { get; set; }

    /// <summary>What it is loaded into while it computes.</summary>
    public BlockSlot? Slot { get; set; }

    /// <summary>Tensors that are in place now.</summary>
    public Stack<ModelTensor> InPlace { get; } = [];
}

using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>Where a device map puts a module: a GPU by its index, <c>cpu</c> or <c>disk</c>.</summary>
/// <remarks>Made by conversion: <c>map["lm_head"] = 0</c>, <c>= "cpu"</c>, <c>= "disk"</c>, <c>= "cuda:1"</c>, or from a <see cref="Device"/>.</remarks>
public readonly record struct Placement : IComparable<Placement>
{
    private const int CpuRank = int.MaxValue - 1;
    private const int DiskRank = int.MaxValue;

    // GPUs are their index; cpu and disk come after all of them, which is also the order in which room is filled.
    private readonly int _rank;

    private Placement(int rank) => _rank = rank;

    /// <summary>The host's memory.</summary>
    public static Placement Cpu { get; } = new(CpuRank);

    /// <summary>Files in the offload folder.</summary>
    public static Placement Disk { get; } = new(DiskRank);

    /// <summary>The GPU with this index.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The index is negative.</exception>
    public static Placement Gpu(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        return new Placement(index);
    }

    /// <summary>Whether it is a GPU.</summary>
    public bool IsGpu => _rank < CpuRank;

    /// <summary>The GPU's index; null for cpu and disk.</summary>
    public int? GpuIndex => IsGpu ? _rank : null;

    /// <inheritdoc cref="Gpu"/>
    public static implicit operator Placement(int gpuIndex) => Gpu(gpuIndex);

    /// <inheritdoc cref="Parse"/>
    public static implicit operator Placement(string text) => Parse(text);

    /// <summary>CUDA without an index is GPU 0.</summary>
    /// <exception cref="ArgumentException">The device is neither CPU nor CUDA.</exception>
    public static implicit operator Placement(Device device) => device.type switch
    {
        DeviceType.CPU => Cpu,
        DeviceType.CUDA => Gpu(Math.Max(0, device.index)),
        _ => throw new ArgumentException($"A model cannot be placed on {device}: use a GPU, cpu or disk.", nameof(device)),
    };

    /// <summary>Reads <c>0</c>, <c>cuda:0</c>, <c>cuda</c>, <c>cpu</c> or <c>disk</c>.</summary>
    /// <exception cref="ArgumentException">It is none of these.</exception>
    public static Placement Parse(string text) => TryParse(text, out var placement)
        ? placement
        : throw new ArgumentException($"Device '{text}' is not known. Write the index of a GPU, 'cuda:INDEX', 'cpu' or 'disk'.", nameof(text));

    /// <summary>Orders GPUs by index, then cpu, then disk.</summary>
    public int CompareTo(Placement other) => _rank.CompareTo(other._rank);

    /// <summary>The index of a GPU, <c>cpu</c> or <c>disk</c>, as device maps are written.</summary>
    public override string ToString() => _rank switch
    {
        CpuRank => "cpu",
        DiskRank => "disk",
        _ => _rank.ToString(CultureInfo.InvariantCulture),
    };

    /// <summary>The device that holds the tensors. A file is no device: disk has none.</summary>
    internal Device ToDevice() => IsGpu ? new Device(DeviceType.CUDA, _rank)
        : this == Cpu ? CPU
        : throw new InvalidOperationException("The disk is no device that computes.");

    private static bool TryParse([NotNullWhen(true)] string? text, out Placement placement)
    {
        placement = default;
        if (text is null) return false;
        if (text is "cuda") return true;
        if (text is "cpu") placement = Cpu;
        else if (text is "disk") placement = Disk;
        else if (int.TryParse(text.StartsWith("cuda:", StringComparison.Ordinal) ? text.AsSpan(5) : text, NumberStyles.None, CultureInfo.InvariantCulture, out var index)
            && index < CpuRank) placement = new Placement(index);
        else return false;
        return true;
    }
}

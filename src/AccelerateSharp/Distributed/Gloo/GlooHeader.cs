using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp;

namespace AccelerateSharp.Distributed.Gloo;

/// <summary>What every rank tells every other before data moves, so that a mismatch is seen by all of them and at once.</summary>
/// <remarks>On the wire it is followed by the rank's input and output splits (one int64 for each rank) and, where it is small, its data.</remarks>
[StructLayout(LayoutKind.Sequential)]
internal struct GlooHeader
{
    /// <summary>The kind of a rank that leaves the group in good order.</summary>
    public const byte Leaving = 255;

    /// <summary>Data up to this size travels with the header.</summary>
    public const int InlineCapacity = 4096;

    public const int MaxDimensions = 10;

    public long SequenceNumber;
    public byte Kind;
    public byte ReduceOp;
    public sbyte Dtype;
    public byte Dimensions;
    public int Root;
    public int Tag;
    public int InlineBytes;
    public long Count;
    public ShapeBuffer Shape;

    public static readonly int Size = Unsafe.SizeOf<GlooHeader>();

    /// <summary>The largest message of a group: header, both split lists, data.</summary>
    public static int StageBytes(int groupSize) => Size + (16 * groupSize) + InlineCapacity;

    public static GlooHeader Of(CollectiveCall call, long count)
    {
        var header = new GlooHeader
        {
            SequenceNumber = call.SequenceNumber,
            Kind = (byte)call.Kind,
            ReduceOp = (byte)call.ReduceOp,
            Dtype = (sbyte)call.Dtype,
            Dimensions = (byte)call.Shape.Length,
            Root = call.Root,
            Tag = call.Tag,
            Count = count,
        };
        call.Shape.AsSpan(0, Math.Min(call.Shape.Length, MaxDimensions)).CopyTo(header.Shape);
        return header;
    }

    public readonly bool SameShape(in GlooHeader other) =>
        Dimensions == other.Dimensions && Count == other.Count && ((ReadOnlySpan<long>)Shape).SequenceEqual(other.Shape);

    public readonly string Describe()
    {
        if (Kind == Leaving) return "has left the group";
        ReadOnlySpan<long> shape = Shape;
        return Messages.Describe(
            (CollectiveKind)Kind, (ReduceOp)ReduceOp, Root, (torch.ScalarType)Dtype, shape[..Math.Min(Dimensions, (byte)MaxDimensions)], Tag);
    }

    [InlineArray(MaxDimensions)]
    internal struct ShapeBuffer
    {
        private long _first;
    }
}

using System.Runtime.InteropServices;

namespace AccelerateSharp.Distributed.Nccl;

/// <summary>NCCL's C interface under its exact names. Every call but the look-ups returns an <see cref="NcclResult"/>.</summary>
internal static unsafe partial class NcclNative
{
    internal const string Library = "libnccl.so.2";

    [LibraryImport(Library)]
    internal static partial NcclResult ncclGetVersion(out int version);

    [LibraryImport(Library)]
    internal static partial NcclResult ncclGetUniqueId(out NcclUniqueId id);

    [LibraryImport(Library)]
    internal static partial NcclResult ncclCommInitRank(out nint communicator, int rankCount, NcclUniqueId id, int rank);

    [LibraryImport(Library)]
    internal static partial NcclResult ncclCommDestroy(nint communicator);

    [LibraryImport(Library)]
    internal static partial NcclResult ncclCommAbort(nint communicator);

    [LibraryImport(Library)]
    internal static partial NcclResult ncclCommGetAsyncError(nint communicator, out NcclResult error);

    [LibraryImport(Library)]
    internal static partial byte* ncclGetErrorString(NcclResult result);

    [LibraryImport(Library)]
    internal static partial byte* ncclGetLastError(nint communicator);

    [LibraryImport(Library)]
    internal static partial NcclResult ncclAllReduce(nint source, nint destination, nuint count, NcclDataType type, NcclReduceOperation operation, nint communicator, nint stream);

    [LibraryImport(Library)]
    internal static partial NcclResult ncclReduce(nint source, nint destination, nuint count, NcclDataType type, NcclReduceOperation operation, int root, nint communicator, nint stream);

    [LibraryImport(Library)]
    internal static partial NcclResult ncclBroadcast(nint source, nint destination, nuint count, NcclDataType type, int root, nint communicator, nint stream);

    [LibraryImport(Library)]
    internal static partial NcclResult ncclAllGather(nint source, nint destination, nuint sendCount, NcclDataType type, nint communicator, nint stream);

    [LibraryImport(Library)]
    internal static partial NcclResult ncclReduceScatter(nint source, nint destination, nuint receiveCount, NcclDataType type, NcclReduceOperation operation, nint communicator, nint stream);

    [LibraryImport(Library)]
    internal static partial NcclResult ncclSend(nint source, nuint count, NcclDataType type, int peer, nint communicator, nint stream);

    [LibraryImport(Library)]
    internal static partial NcclResult ncclRecv(nint destination, nuint count, NcclDataType type, int peer, nint communicator, nint stream);

    [LibraryImport(Library)]
    internal static partial NcclResult ncclGroupStart();

    [LibraryImport(Library)]
    internal static partial NcclResult ncclGroupEnd();
}

/// <summary><c>ncclUniqueId</c>: what rank 0 makes and every other rank needs to join. NCCL takes it by value.</summary>
internal unsafe struct NcclUniqueId
{
    internal const int Size = 128;

    private fixed byte _bytes[Size];

    internal static NcclUniqueId FromBytes(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Size) throw new ArgumentException($"An NCCL unique id has {Size} bytes, not {bytes.Length}.", nameof(bytes));
        return MemoryMarshal.Read<NcclUniqueId>(bytes);
    }

    internal readonly byte[] ToBytes()
    {
        var bytes = new byte[Size];
        MemoryMarshal.Write(bytes, in this);
        return bytes;
    }
}

/// <summary><c>ncclResult_t</c>.</summary>
internal enum NcclResult
{
    Success = 0,
    UnhandledCudaError = 1,
    SystemError = 2,
    InternalError = 3,
    InvalidArgument = 4,
    InvalidUsage = 5,
    RemoteError = 6,
    InProgress = 7,
}

/// <summary><c>ncclDataType_t</c>.</summary>
internal enum NcclDataType
{
    Int8 = 0,
    UInt8 = 1,
    Int32 = 2,
    UInt32 = 3,
    Int64 = 4,
    UInt64 = 5,
    Float16 = 6,
    Float32 = 7,
    Float64 = 8,
    BFloat16 = 9,

    /// <summary>From NCCL 2.24.</summary>
    Float8E4M3 = 10,

    /// <summary>From NCCL 2.24.</summary>
    Float8E5M2 = 11,
}

/// <summary><c>ncclRedOp_t</c>.</summary>
internal enum NcclReduceOperation
{
    Sum = 0,
    Product = 1,
    Max = 2,
    Min = 3,
    Average = 4,
}

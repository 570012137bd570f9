using System.Runtime.InteropServices;

namespace AccelerateSharp.Distributed.Gloo;

/// <summary>The C ABI of <c>native/gloo/asg_gloo.h</c>, name by name.</summary>
internal static unsafe partial class GlooNative
{
    public const int ASG_OK = 0;
    public const int ASG_TIMEOUT = 1;
    public const int ASG_PEER_LOST = 2;
    public const int ASG_ABORTED = 3;
    public const int ASG_INVALID = 4;
    public const int ASG_ERROR = 5;

    private const string Library = "accelerate_gloo";

    [LibraryImport(Library)]
    public static partial int asg_noop();

    [LibraryImport(Library)]
    public static partial byte* asg_last_error();

    [LibraryImport(Library)]
    public static partial int asg_last_peer();

    [LibraryImport(Library)]
    public static partial int asg_device_create(byte* host, byte* interface_name, nint* device);

    [LibraryImport(Library)]
    public static partial void asg_device_destroy(nint device);

    [LibraryImport(Library)]
    public static partial int asg_context_create(nint device, int rank, int size, long stage_bytes, long connect_timeout_ms, nint* context);

    [LibraryImport(Library)]
    public static partial long asg_context_address_bytes(nint context);

    [LibraryImport(Library)]
    public static partial int asg_context_address(nint context, byte* address);

    [LibraryImport(Library)]
    public static partial int asg_context_connect(nint context, byte* addresses);

    [LibraryImport(Library)]
    public static partial void asg_context_abort(nint context);

    [LibraryImport(Library)]
    public static partial void asg_context_destroy(nint context);

    [LibraryImport(Library)]
    public static partial int asg_exchange(nint context, byte* message, long bytes, long timeout_ms, byte** block, byte* arrived);

    [LibraryImport(Library)]
    public static partial int asg_exchange_v(
        nint context, nint* send, long* send_bytes, nint* recv, long* recv_bytes, long timeout_ms);

    [LibraryImport(Library)]
    public static partial int asg_broadcast(nint context, nint data, long bytes, int root, long timeout_ms);

    [LibraryImport(Library)]
    public static partial int asg_all_reduce(nint context, nint data, long count, int dtype, int op, long timeout_ms);

    [LibraryImport(Library)]
    public static partial int asg_reduce(nint context, nint data, long count, int dtype, int op, int root, long timeout_ms);

    [LibraryImport(Library)]
    public static partial int asg_reduce_scatter(nint context, nint input, nint output, long count, int dtype, int op, long timeout_ms);

    [LibraryImport(Library)]
    public static partial int asg_reduce_local(int dtype, int op, nint output, nint* inputs, int n, long count);

    [LibraryImport(Library)]
    public static partial int asg_send(nint context, int peer, ulong tag, nint data, long bytes, nint* op);

    [LibraryImport(Library)]
    public static partial int asg_receive(nint context, int peer, ulong tag, nint data, long bytes, nint* op);

    [LibraryImport(Library)]
    public static partial int asg_op_wait(nint op, long timeout_ms);

    [LibraryImport(Library)]
    public static partial void asg_op_destroy(nint op);

    /// <summary>Throws what the calling thread's last call reported.</summary>
    public static void Check(int status)
    {
        if (status == ASG_OK) return;
        var text = Marshal.PtrToStringUTF8((nint)asg_last_error());
        throw new GlooException(status, string.IsNullOrEmpty(text) ? "no details" : text, asg_last_peer());
    }
}

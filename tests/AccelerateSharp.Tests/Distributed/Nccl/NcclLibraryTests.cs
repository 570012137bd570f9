using AccelerateSharp.Distributed.Nccl;
using AccelerateSharp.Internal.Interop;

namespace AccelerateSharp.Tests.Distributed.Nccl;

public class NcclLibraryTests
{
    [Fact]
    public void The_setting_names_a_folder_or_a_file_and_nothing_else_is_tried()
    {
        Assert.Equal(["/opt/nccl/libnccl.so.2"], NcclSearch.Candidates("/opt/nccl", "/site/torch/lib"));
        Assert.Equal(["/opt/libnccl.so.2.27"], NcclSearch.Candidates("/opt/libnccl.so.2.27", null));
    }

    [Fact]
    public void A_pytorch_install_is_looked_into_before_the_system() => Assert.Equal(
        ["/site/torch/lib/libnccl.so.2", "/site/nvidia/nccl/lib/libnccl.so.2", "libnccl.so.2"], NcclSearch.Candidates(null, "/site/torch/lib"));

    [Fact]
    public void A_unique_id_survives_the_store()
    {
        var bytes = Enumerable.Range(0, NcclUniqueId.Size).Select(i => (byte)i).ToArray();
        Assert.Equal(bytes, NcclUniqueId.FromBytes(bytes).ToBytes());
        Assert.Throws<ArgumentException>(() => NcclUniqueId.FromBytes(new byte[64]));
    }

    [Fact]
    public void Without_a_driver_the_reason_is_said()
    {
        Assert.SkipWhen(CudaDriver.IsAvailable, "This machine has a GPU.");
        Assert.NotNull(CudaDriver.WhyUnavailable);
        Assert.Equal(0, CudaDriver.DeviceCount);
        Assert.Contains(CudaDriver.WhyUnavailable, Assert.Throws<InvalidOperationException>(() => CudaContext.Of(0)).Message, StringComparison.Ordinal);
    }
}

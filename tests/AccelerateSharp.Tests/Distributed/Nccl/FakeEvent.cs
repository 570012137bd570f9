using AccelerateSharp.Internal.Interop;

namespace AccelerateSharp.Tests.Distributed.Nccl;

/// <summary>An event that is reached when the test says so, and remembers which streams were told to wait for it.</summary>
internal sealed class FakeEvent : IStreamEvent
{
    public bool IsReached { get; set; }

    public List<nint> Waiting { get; } = [];

    public void MakeWait(nint stream) => Waiting.Add(stream);
}

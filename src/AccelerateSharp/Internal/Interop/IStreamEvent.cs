namespace AccelerateSharp.Internal.Interop;

/// <summary>A recorded point of a stream, as far as somebody who waits for it needs to know it.</summary>
internal interface IStreamEvent
{
    /// <summary>True once the point is reached. Never blocks.</summary>
    bool IsReached { get; }

    /// <summary>Work queued on <paramref name="stream"/> from now on starts only after the point; the host does not wait.</summary>
    void MakeWait(nint stream);
}

namespace AccelerateSharp.BigModel;

/// <summary>Fills the slots of one device.</summary>
internal interface IBlockReader : IDisposable
{
    /// <summary>When the memory of a slot has been made.</summary>
    void Prepare(BlockSlot slot);

    /// <summary>Begins to bring a unit's weights into a slot, behind what computes with it now. The host does not wait.</summary>
    void Start(BlockSlot slot, OffloadUnit unit);

    /// <summary>What the calling thread computes from now on finds the weights in the slot.</summary>
    void Await(BlockSlot slot);

    /// <summary>The calling thread has queued all that computes with the slot.</summary>
    void Release(BlockSlot slot);

    /// <summary>Waits until nothing writes to the slot any more.</summary>
    void Drain(BlockSlot slot);
}

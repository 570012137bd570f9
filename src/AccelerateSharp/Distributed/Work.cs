using AccelerateSharp.Distributed;

namespace AccelerateSharp;

/// <summary>A collective operation in flight. It keeps the memory of its tensors alive until it has finished.</summary>
/// <remarks>Operations of one group run in the order in which they were started. A work may be dropped without waiting for it.</remarks>
public sealed class Work
{
    private readonly WorkCompletion _completion;

    internal Work(WorkCompletion completion) => _completion = completion;

    /// <summary>True once the operation has ended, also where it failed.</summary>
    public bool IsCompleted => _completion.IsCompleted;

    /// <summary>Makes the result usable for what this thread runs next.</summary>
    /// <remarks>On Gloo the thread waits. On CUDA the current stream waits and the host goes on at once.</remarks>
    /// <exception cref="DistributedException">The operation failed.</exception>
    public void Wait() => _completion.Wait();

    /// <summary>Blocks this thread until the operation has ended on the device.</summary>
    /// <exception cref="DistributedException">The operation failed.</exception>
    public void Synchronize() => _completion.Synchronize();
}

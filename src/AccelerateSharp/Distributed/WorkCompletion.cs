namespace AccelerateSharp.Distributed;

/// <summary>What a backend knows about the end of one operation; a <see cref="Work"/> is the user's view of it.</summary>
internal abstract class WorkCompletion
{
    /// <summary>True once the operation has ended, also where it failed. Never blocks.</summary>
    public abstract bool IsCompleted { get; }

    /// <summary>Orders what the caller runs next behind the operation; throws its error where that is known by then.</summary>
    public abstract void Wait();

    /// <summary>Blocks the calling thread until the operation has ended and throws its error.</summary>
    public abstract void Synchronize();
}

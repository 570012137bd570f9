using TorchSharp;

namespace AccelerateSharp.Distributed;

/// <summary>The engine under one <see cref="ProcessGroup"/>: runs checked operations on contiguous tensors, in the order it gets them.</summary>
/// <remarks>
/// <see cref="ProcessGroup"/> has checked arguments, devices and dtypes, numbered the call and holds no lock while it submits; calls may come
/// from several threads. A backend that sees an error first hands it to <see cref="GroupHealth.Fail"/>, which aborts the group once and
/// for all; every pending <see cref="Work"/> then ends with <see cref="GroupHealth.Failure"/>.
/// </remarks>
internal abstract class CollectiveBackend : IDisposable
{
    /// <summary>"gloo" or "nccl".</summary>
    public abstract string Name { get; }

    /// <summary>Where tensors must live.</summary>
    public abstract DeviceType DeviceType { get; }

    /// <summary>Which device of that kind, where there are several; -1 where it does not matter.</summary>
    public virtual int DeviceIndex => -1;

    /// <summary>Starts an operation and takes over <paramref name="call"/>: it is released when the operation ends, however it ends.</summary>
    public abstract Work Submit(CollectiveCall call);

    /// <summary>Runs an operation and makes its result usable for the caller, as <see cref="Work.Wait"/> does.</summary>
    public virtual void Run(CollectiveCall call) => Submit(call).Wait();

    /// <summary>Ends every pending operation with an error, from any thread, without waiting for peers. Called at most once.</summary>
    public abstract void Abort();

    /// <summary>Builds the same kind of backend for a sub-group; every member calls it with a context of the same name.</summary>
    public abstract CollectiveBackend CreateSubGroup(GroupContext context);

    public abstract void Dispose();
}

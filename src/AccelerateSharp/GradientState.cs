using AccelerateSharp.Data;

namespace AccelerateSharp;

/// <summary>Where the process stands in gradient accumulation, and which prepared loader it is iterating.</summary>
/// <remarks>
/// There is one per process (<see cref="Shared"/>). Loader facts are those of the innermost prepared loader that is being iterated:
/// a loop nested in another one hides the outer loader and uncovers it when it ends, also when it ends by <c>break</c> or an
/// exception.
/// </remarks>
public sealed class GradientState
{
    private readonly Lock _gate = new();

    // Weak: an enumerator that was dropped without Dispose must neither live on nor hide the loader around it.
    private readonly List<WeakReference<ActiveLoader>> _loaders = [];

    internal GradientState()
    {
    }

    /// <summary>The state of this process.</summary>
    public static GradientState Shared { get; } = new();

    /// <summary>Whether this batch ends an accumulation window: gradients are reduced, optimizers and schedulers step. Starts true.</summary>
    public bool SyncGradients { get; internal set; } = true;

    /// <summary>The accumulation settings in force.</summary>
    public GradientAccumulationPlugin PluginOptions { get; internal set; } = new();

    /// <summary>Batches per optimizer step.</summary>
    public int NumSteps => PluginOptions.NumSteps;

    /// <summary>Whether the last batch of a loader ends an accumulation window.</summary>
    public bool SyncWithDataLoader => PluginOptions.SyncWithDataLoader;

    /// <summary>Whether gradients are reduced after every batch.</summary>
    public bool SyncEachBatch => PluginOptions.SyncEachBatch;

    /// <summary>Whether a prepared loader is being iterated.</summary>
    public bool InDataLoader => Active is not null;

    /// <summary>Whether the batch in hand is its loader's last one. False outside any loader.</summary>
    public bool EndOfDataLoader => Active?.EndOfDataLoader ?? false;

    /// <summary>
    /// Samples of the last global step that are not repetitions, counted over all ranks; 0 when the last step is whole; −1 when
    /// unknown, when incomplete batches are dropped, and outside any loader. Reliable once <see cref="EndOfDataLoader"/> is true.
    /// </summary>
    public int Remainder => Active?.Remainder ?? -1;

    /// <summary>The innermost loader being iterated.</summary>
    internal ActiveLoader? Active
    {
        get
        {
            lock (_gate)
            {
                for (var i = _loaders.Count - 1; i >= 0; i--)
                {
                    if (_loaders[i].TryGetTarget(out var loader)) return loader;
                    _loaders.RemoveAt(i);
                }
                return null;
            }
        }
    }

    internal void Enter(ActiveLoader loader)
    {
        lock (_gate) _loaders.Add(new WeakReference<ActiveLoader>(loader));
    }

    internal void Leave(ActiveLoader loader)
    {
        lock (_gate) _loaders.RemoveAll(entry => !entry.TryGetTarget(out var other) || ReferenceEquals(other, loader));
    }
}

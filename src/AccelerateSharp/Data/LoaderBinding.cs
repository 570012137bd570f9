namespace AccelerateSharp.Data;

/// <summary>What preparing a loader tied it to.</summary>
internal sealed class LoaderBinding(
    IDataParallelContext context, GradientState state, DataLoaderConfiguration configuration, bool devicePlacement)
{
    /// <summary>What a loader that nobody prepared behaves like: one process, no device, no bookkeeping.</summary>
    public static LoaderBinding None { get; } =
        new(SingleProcessContext.Cpu, new GradientState(), new DataLoaderConfiguration(), devicePlacement: false);

    public IDataParallelContext Context => context;

    public GradientState State => state;

    public DataLoaderConfiguration Configuration => configuration;

    /// <summary>Whether batches are put on the context's device.</summary>
    public bool DevicePlacement => devicePlacement;

    /// <summary>Starts as configured; switched for a while by a join over uneven inputs.</summary>
    public bool EvenBatches { get; set; } = configuration.EvenBatches;

    /// <summary>Whether rank 0 reads for everybody.</summary>
    /// <param name="isStream">Whether the source is read in order rather than by index.</param>
    public bool Dispatches(bool isStream) =>
        context.Size > 1 && (configuration.DispatchBatches ?? isStream && devicePlacement);
}

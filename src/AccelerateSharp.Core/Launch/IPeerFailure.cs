namespace AccelerateSharp.Launch;

/// <summary>Marks exceptions that say that another worker failed: where such a one ends a worker, the cause is elsewhere.</summary>
internal interface IPeerFailure;

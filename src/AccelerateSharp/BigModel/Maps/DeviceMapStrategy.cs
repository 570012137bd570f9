namespace AccelerateSharp;

/// <summary>How a device map is found that was not given.</summary>
public enum DeviceMapStrategy
{
    /// <summary>The best that is known: <see cref="Balanced"/>.</summary>
    Auto,

    /// <summary>All GPUs get about the same share.</summary>
    Balanced,

    /// <summary>GPU 0 gets only what the others do not hold: generation needs its memory.</summary>
    BalancedLow0,

    /// <summary>GPU 0 is filled first, then the next.</summary>
    Sequential,
}

namespace AccelerateSharp.Data;

/// <summary>One pass over a prepared loader, as <see cref="GradientState"/> sees it.</summary>
internal sealed class ActiveLoader
{
    /// <summary>Whether the batch last handed out is the last one.</summary>
    public bool EndOfDataLoader { get; set; }

    /// <summary>See <see cref="GradientState.Remainder"/>.</summary>
    public int Remainder { get; set; } = -1;
}

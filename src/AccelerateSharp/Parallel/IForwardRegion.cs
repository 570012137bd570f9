namespace AccelerateSharp.Parallel;

/// <summary>Something that is in force exactly while the forward of a prepared model runs: autocast, swapped parameters, a recipe.</summary>
internal interface IForwardRegion
{
    /// <summary>Puts it into force on the calling thread.</summary>
    /// <param name="nested">Whether the same model's forward runs already, further out on this thread: it calls itself.</param>
    /// <returns>
    /// Ends it, on the same thread and innermost first; must not throw. Also called when forward has thrown. Null where there is nothing to end.
    /// </returns>
    IDisposable? Enter(bool nested);
}

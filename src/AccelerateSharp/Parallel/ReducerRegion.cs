namespace AccelerateSharp.Parallel;

/// <summary>While the forward runs, the model computes with aliases of its parameters whose gradients the reducer awaits.</summary>
internal sealed class ReducerRegion(GradientReducer reducer, Func<bool> synchronize) : IForwardRegion, IDisposable
{
    public IDisposable? Enter(bool nested)
    {
        // A model that calls itself goes on with the same aliases.
        if (nested) return null;
        reducer.BeforeForward(synchronize());
        return this;
    }

    public void Dispose() => reducer.AfterForward();
}

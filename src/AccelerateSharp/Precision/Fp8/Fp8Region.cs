using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Parallel;

namespace AccelerateSharp.Precision.Fp8;

/// <summary>A prepared model's forward computes its linear layers in float8.</summary>
internal sealed class Fp8Region(Fp8Model model) : IForwardRegion
{
    public IDisposable Enter(bool nested)
    {
        // A model inside another one may follow another recipe: nothing of the outer one's is taken for its own.
        Autocast.Recipe?.EndForward();
        var scope = new Scope(model, Autocast.Recipe);
        Autocast.Recipe = model.IsInForce ? model : null;
        return scope;
    }

    private sealed class Scope(Fp8Model model, IForwardRecipe? outer) : IDisposable
    {
        public void Dispose()
        {
            Autocast.Recipe = outer;
            model.EndForward();
        }
    }
}

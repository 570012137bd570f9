using AccelerateSharp.Estimation;
using AccelerateSharp.Estimation.Planning;

namespace AccelerateSharp.Cli.Estimation;

/// <summary>The answer, before it is shown.</summary>
internal sealed record Estimate
{
    public required LoadedModel Model { get; init; }

    public required IReadOnlyList<EstimateRow> Rows { get; init; }

    /// <summary>What was asked of the planner, or null.</summary>
    public required PlanRequest? Request { get; init; }

    public required IReadOnlyList<MemoryPlan> Plans { get; init; }

    public required MemoryPlan? Fastest { get; init; }

    /// <summary>What each recipe holds, in bytes: its bytes for each parameter, times the base model's parameters.</summary>
    public IEnumerable<(PrecisionRecipe Recipe, double Bytes)> Recipes
    {
        get
        {
            var parameters = Model.Inventory.Tensors.Where(tensor => tensor.Role == TensorRole.Parameter).Sum(tensor => tensor.ElementCount);
            return PrecisionRecipe.All.Select(recipe => (recipe, (double)recipe.Total * parameters));
        }
    }

    public static Estimate Of(LoadedModel model, IReadOnlyList<string> dtypes, PlanRequest? request)
    {
        var plans = request is null ? [] : Planner.Plans(model.Inventory, request);
        return new Estimate
        {
            Model = model,
            Rows = ReferenceEstimate.Rows(model.Inventory, dtypes),
            Request = request,
            Plans = plans,
            Fastest = request is null ? null : Planner.Fastest(plans, request),
        };
    }
}

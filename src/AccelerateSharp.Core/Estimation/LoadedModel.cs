namespace AccelerateSharp.Estimation;

/// <summary>A model that something can be estimated from.</summary>
/// <param name="Name">What the user calls it.</param>
/// <param name="Inventory">Its tensors.</param>
/// <param name="Notes">What the user should know about where they come from.</param>
internal sealed record LoadedModel(string Name, ModelInventory Inventory, IReadOnlyList<string> Notes);

namespace AccelerateSharp.Hub;

/// <summary>A model repository at a certain commit.</summary>
/// <param name="Id">Its name, as the user gave it.</param>
/// <param name="Revision">The branch, tag or commit that the user asked for.</param>
/// <param name="Commit">The commit that this is.</param>
/// <param name="Files">The paths of its files.</param>
/// <param name="IsFromCache">Whether this is what the cache knows of it, not what the server said.</param>
internal sealed record HubModel(string Id, string Revision, string Commit, IReadOnlyList<string> Files, bool IsFromCache);

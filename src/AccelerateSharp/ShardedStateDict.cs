namespace AccelerateSharp;

/// <summary>One rank's part of a model's or an optimizer's state, in host memory.</summary>
/// <remarks>
/// Taken as <see cref="StateDictType.ShardedStateDict"/>, the parts of all ranks together can be loaded by any number of ranks. As
/// <see cref="StateDictType.LocalStateDict"/> the entries are the flat buffers themselves, and only a job of the same layout can load them.
/// </remarks>
/// <param name="Type">How it was taken.</param>
/// <param name="Rank">Whose part it is.</param>
/// <param name="WorldSize">Number of ranks of the job.</param>
/// <param name="Entries">The parts, by the names of the parameters; for an optimizer <c>parameter.field</c>. What is not divided is there as a whole.</param>
public sealed record ShardedStateDict(StateDictType Type, int Rank, int WorldSize, IReadOnlyDictionary<string, ShardedTensor> Entries);

using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>One rank's part of a tensor that is divided between ranks: consecutive elements, in row-major order.</summary>
/// <param name="Shape">Shape of the whole tensor.</param>
/// <param name="Start">First element of the part, counted in the whole tensor.</param>
/// <param name="Local">The part, in one dimension, in host memory; empty where the tensor lies wholly on other ranks.</param>
public sealed record ShardedTensor(IReadOnlyList<long> Shape, long Start, Tensor Local);

using static TorchSharp.torch;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>Weights by name, of which one at a time is in memory.</summary>
internal interface IWeightSource
{
    IEnumerable<string> Names { get; }

    /// <summary>The shape of a tensor; null where there is none of this name.</summary>
    IReadOnlyList<long>? ShapeOf(string name);

    /// <summary>A tensor; what was made for it goes with the current dispose scope.</summary>
    Tensor Read(string name);
}

/// <summary>Weights that are in memory anyway.</summary>
internal sealed class WeightsInMemory(IReadOnlyDictionary<string, Tensor> tensors) : IWeightSource
{
    public IEnumerable<string> Names => tensors.Keys;

    public IReadOnlyList<long>? ShapeOf(string name) => tensors.GetValueOrDefault(name)?.shape;

    public Tensor Read(string name) => tensors[name];
}

/// <summary>Weights in safetensors files, which are open on rank 0 alone.</summary>
internal sealed class WeightsInFiles(SafetensorsCheckpoint? files) : IWeightSource
{
    public IEnumerable<string> Names => files?.Names ?? [];

    public IReadOnlyList<long>? ShapeOf(string name) => files?.Contains(name) == true ? files.Describe(name).Shape : null;

    public Tensor Read(string name) => files!.Read(name);
}

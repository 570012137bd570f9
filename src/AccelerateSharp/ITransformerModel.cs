namespace AccelerateSharp;

/// <summary>A model that names the classes of its layers, so that sharding and activation checkpointing need not be told.</summary>
public interface ITransformerModel
{
    /// <summary>Class names of the modules that repeat: the layers. Sharding makes each of them a unit.</summary>
    IReadOnlyList<string> LayerClassNames { get; }
}

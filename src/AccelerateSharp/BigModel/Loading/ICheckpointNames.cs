namespace AccelerateSharp.BigModel;

/// <summary>A model whose checkpoints may name its tensors otherwise than it does, for instance without the prefix of the base model.</summary>
internal interface ICheckpointNames
{
    /// <returns>The checkpoint's name of a tensor; null where the checkpoint does not have it.</returns>
    string? NameInCheckpoint(string tensor, Func<string, bool> contains);

    /// <summary>Whether a tensor of a checkpoint says nothing that the model does not know by itself.</summary>
    bool IsDerived(string name);
}

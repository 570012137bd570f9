using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>A hook that brings weights to a device for the time of a forward.</summary>
internal interface IOffloadHook
{
    /// <summary>Whether it holds any of the module's weights back.</summary>
    bool Offloads { get; }

    /// <summary>Brings the weights.</summary>
    void Align(Module module);

    /// <summary>Takes them away again.</summary>
    void Release(Module module);

    /// <summary>The value of an offloaded tensor, on the CPU; null where it is none of this hook's. The caller owns it.</summary>
    Tensor? Read(ModelTensor tensor);
}

using System.Runtime.InteropServices;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>The weight inside a native-backed Embedding or EmbeddingBag, which computes with that and not with the managed parameter.</summary>
/// <remarks>The native setter takes any tensor, also one with a history, as its forward does not ask for a leaf.</remarks>
internal sealed partial class EmbeddingWeight(nn.Module module)
{
    /// <summary>What the module computes with now: a new object for it at each call, outside of every dispose scope.</summary>
    internal static Parameter? Current(nn.Module module)
    {
        var weight = module switch
        {
            Embedding embedding => embedding.weight,
            EmbeddingBag bag => bag.weight,
            _ => null,
        };
        weight?.DetachFromDisposeScope();
        return weight;
    }

    internal void Set(nint handle)
    {
        switch (module)
        {
            case Embedding:
                THSNN_Embedding_set_weight(NativeModule.Handle(module), handle);
                break;
            case EmbeddingBag:
                THSNN_EmbeddingBag_set_weight(NativeModule.Handle(module), handle);
                break;
            default:
                throw new NotSupportedException($"{module.GetType().Name} has no native weight that can be replaced.");
        }
        NativeErrors.Check();
    }

    [LibraryImport(NativeLibraries.TorchSharp)]
    private static partial void THSNN_Embedding_set_weight(SafeHandle module, nint weight);

    [LibraryImport(NativeLibraries.TorchSharp)]
    private static partial void THSNN_EmbeddingBag_set_weight(SafeHandle module, nint weight);
}

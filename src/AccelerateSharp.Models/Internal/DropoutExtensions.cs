using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Internal;

internal static class DropoutExtensions
{
    /// <summary>Dropout in training; the tensor itself where nothing is dropped.</summary>
    public static Tensor Drop(this Tensor input, double probability, bool training) =>
        training && probability > 0 ? functional.dropout(input, probability, training: true) : input;
}

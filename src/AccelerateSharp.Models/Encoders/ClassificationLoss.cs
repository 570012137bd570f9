using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Models.Encoders;

/// <summary>The loss of a classifier, by the kind of its labels, as the Hub's models choose it.</summary>
internal static class ClassificationLoss
{
    public static Tensor Of(Tensor logits, Tensor labels, EncoderConfig config)
    {
        var isWhole = labels.dtype is ScalarType.Int64 or ScalarType.Int32;
        switch (config.ProblemType ?? (config.Classes == 1 ? "regression" : isWhole ? "single_label_classification" : "multi_label_classification"))
        {
            case "regression":
                return functional.mse_loss(config.Classes == 1 ? logits.squeeze(-1) : logits, labels.to(logits.dtype).view(config.Classes == 1 ? [-1] : logits.shape));
            case "multi_label_classification":
                return functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype));
            default:
                return functional.cross_entropy(logits, labels.to(ScalarType.Int64).view(-1));
        }
    }
}

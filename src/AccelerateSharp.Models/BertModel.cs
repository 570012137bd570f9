using static TorchSharp.torch;

namespace AccelerateSharp;

/// <summary>BERT without a head.</summary>
/// <param name="config">Its configuration.</param>
/// <param name="dtype">The dtype of the weights.</param>
/// <param name="device">Where they are; by default on the CPU.</param>
public sealed class BertModel(BertConfig config, ScalarType dtype = ScalarType.Float32, Device? device = null)
    : TextEncoderModel(config, dtype, device, "bert", nameof(BertModel));

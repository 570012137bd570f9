using AccelerateSharp.Models.Encoders;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp;

/// <summary>A text encoder that guesses masked tokens.</summary>
public abstract class MaskedLanguageModel : TextEncoder
{
    private protected MaskedLanguageModel(BertConfig config, string modelType, string name) : base(config, modelType, name)
    {
    }

    private protected abstract BertStack Encoder { get; }

    private protected abstract Module<Tensor, Tensor> Transform { get; }

    private protected abstract (Parameter Weight, Parameter Bias) Output { get; }

    /// <summary>Scores of every token, [batch, time, vocabulary]; with labels the mean loss alone, which never holds all scores.</summary>
    /// <param name="input">Tokens, and what goes with them. Labels: int64 [batch, time], -100 for tokens that were not masked.</param>
    public sealed override ModelOutput forward(ModelInputs input)
    {
        ArgumentNullException.ThrowIfNull(input);
        using var scope = NewDisposeScope();
        var hidden = Transform.call(Encoder.call(input));
        var (weight, bias) = Output;
        return input.Labels is null
            ? new ModelOutput(functional.linear(hidden, weight, bias).MoveToOuterDisposeScope())
            : new ModelOutput(loss: FusedLosses.LinearCrossEntropy(hidden, weight, input.Labels, bias).MoveToOuterDisposeScope());
    }
}

using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp;

/// <summary>A model that predicts the next token: a stack of layers, and a projection of its hidden state to the vocabulary.</summary>
public abstract class CausalLanguageModel : PretrainedModel
{
    private protected CausalLanguageModel(PretrainedConfig config, string name) : base(config, name)
    {
    }

    /// <summary>The model without its head: tokens [batch, time] in, hidden state [batch, time, hidden] out.</summary>
    public abstract Module<ModelInputs, Tensor> Model { get; }

    /// <summary>The projection of the hidden state to the scores of all tokens.</summary>
    public abstract Linear Head { get; }

    /// <summary>Scores of the next token, [batch, time, vocabulary]; with labels the mean loss alone.</summary>
    /// <param name="input">Tokens, and what goes with them.</param>
    public sealed override ModelOutput forward(ModelInputs input)
    {
        using var scope = NewDisposeScope();
        var hidden = Model.call(input);
        if (input.Labels is null) return new ModelOutput(logits: Head.call(hidden).MoveToOuterDisposeScope());
        return new ModelOutput(loss: Loss(hidden, input.Labels).MoveToOuterDisposeScope());
    }

    /// <summary>The mean cross entropy of each next token; -100 stands for tokens without loss.</summary>
    private Tensor Loss(Tensor hidden, Tensor labels)
    {
        var length = hidden.shape[1];
        var logits = Head.call(hidden.narrow(1, 0, length - 1)).flatten(0, 1).to(ScalarType.Float32);
        return functional.cross_entropy(logits, labels.narrow(1, 1, length - 1).flatten());
    }
}

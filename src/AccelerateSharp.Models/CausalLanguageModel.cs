using AccelerateSharp.Models.Generation;
using AccelerateSharp.Models.Internal;
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

    /// <summary>The most positions that the model knows; null where there is no limit.</summary>
    internal virtual long? MaxPositions => null;

    /// <summary>Scores of the next token, [batch, time, vocabulary]; with labels the mean loss alone.</summary>
    /// <param name="input">Tokens, and what goes with them.</param>
    public sealed override ModelOutput forward(ModelInputs input)
    {
        using var scope = NewDisposeScope();
        var hidden = Model.call(input);
        if (input.Labels is not null) return new ModelOutput(loss: Loss(hidden, input.Labels).MoveToOuterDisposeScope());
        if (input.LogitsToKeep is var last and > 0) hidden = hidden.narrow(1, hidden.shape[1] - last, last);
        return new ModelOutput(logits: Head.call(hidden).MoveToOuterDisposeScope());
    }

    /// <summary>Continues texts, without gradients and in evaluation mode; see <see cref="GenerationOptions"/> for how.</summary>
    /// <param name="inputIds">The prompts, int64 [batch, time]; shorter ones are padded on the left.</param>
    /// <param name="options">How; by default 20 tokens, always the most probable one.</param>
    /// <param name="attentionMask">1 for tokens, 0 for padding; [batch, time]. Without one, all are tokens.</param>
    /// <returns>Prompts and what follows them, int64 [batch, time + new]; as long as the longest text, others padded on the right.</returns>
    /// <remarks>
    /// Keys and values of the whole text are kept in memory that is allocated once. A model that is sharded over processes must generate
    /// equally many tokens on each: set <see cref="GenerationOptions.EosTokenIds"/> to an empty list.
    /// </remarks>
    /// <example><code>
    /// var text = model.Generate(prompt, new() { MaxNewTokens = 100, DoSample = true, Temperature = 0.7, TopP = 0.9 });
    /// </code></example>
    /// <exception cref="ArgumentException">The prompt, the mask or an option is not as described; the message says how.</exception>
    public Tensor Generate(Tensor inputIds, GenerationOptions? options = null, Tensor? attentionMask = null)
    {
        ArgumentNullException.ThrowIfNull(inputIds);
        using var noGradient = no_grad();
        var training = this.training;
        if (training) eval();
        try
        {
            return new TextGeneration(this, inputIds, attentionMask, options ?? new()).Run();
        }
        finally
        {
            if (training) train();
        }
    }

    /// <summary>The mean cross entropy of each next token; -100 stands for tokens without loss.</summary>
    private Tensor Loss(Tensor hidden, Tensor labels)
    {
        // Moved by one, and the last token has nothing to predict: so the hidden state stays whole and is not copied.
        var none = full([labels.shape[0], 1], -100, ScalarType.Int64, device: labels.device);
        var targets = cat([labels.narrow(1, 1, labels.shape[1] - 1), none], 1);
        // Whoever has hooks on the head (an adapter, a device map) wants it called.
        if (!Hooks.Any(Head)) return FusedLosses.LinearCrossEntropy(hidden, Head.weight!, targets, Head.bias);
        return functional.cross_entropy(Head.call(hidden).flatten(0, 1).to(ScalarType.Float32), targets.flatten());
    }
}

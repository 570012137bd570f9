using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests;

public sealed class TiedWeightTests
{
    public static TheoryData<string> Models => ["gpt2", "llama", "bert", "roberta"];

    [Theory]
    [MemberData(nameof(Models))]
    public void An_optimizer_steps_a_tied_weight_once(string type)
    {
        using var scope = NewDisposeScope();
        var encoder = new BertConfig { ModelType = type, VocabSize = 20, HiddenSize = 8, IntermediateSize = 12, NumHiddenLayers = 1, NumAttentionHeads = 2, MaxPositionEmbeddings = 12 };
        using PretrainedModel model = type switch
        {
            "gpt2" => new GPT2LMHeadModel(new Gpt2Config { VocabSize = 20, NEmbd = 8, NLayer = 1, NHead = 2 }),
            "llama" => new LlamaForCausalLM(new LlamaConfig { VocabSize = 20, HiddenSize = 8, IntermediateSize = 12, NumHiddenLayers = 1, NumAttentionHeads = 2, TieWordEmbeddings = true }),
            "bert" => new BertForMaskedLM(encoder),
            _ => new RobertaForMaskedLM(encoder),
        };
        model.eval();
        var words = model.named_parameters().Single(entry => entry.parameter.shape.SequenceEqual([20L, 8L])).parameter;
        var before = words.detach().clone();
        var optimizer = optim.SGD(model.parameters(), learningRate: 0.5);
        var tokens = tensor(new long[] { 3, 4, 5, 6 }).unsqueeze(0);
        model.call(new() { InputIds = tokens, Labels = tokens }).Loss.backward();
        optimizer.step();
        Assert.True((before - words.detach()).allclose(words.grad! * 0.5, rtol: 1e-4, atol: 1e-6));
        Assert.True(words.grad!.abs().max().item<float>() > 1e-4);
    }
}

using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests;

public sealed class GenerationTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    public static TheoryData<string> Families => ["llama", "mistral", "qwen2", "qwen3", "gpt2"];

    private static CausalLanguageModel Build(string type = "llama")
    {
        manual_seed(5);
        PretrainedConfig config = type == "gpt2"
            ? new Gpt2Config { VocabSize = 97, NEmbd = 32, NLayer = 2, NHead = 4, NPositions = 32, InitializerRange = 0.3 }
            : DecoderTests.Tiny(type);
        return (CausalLanguageModel)PretrainedModel.FromConfig(config);
    }

    private static long[] Numbers(Tensor tokens) => tokens.flatten().data<long>().ToArray();

    [Theory]
    [MemberData(nameof(Families))]
    public void Greedy_tokens_are_those_of_a_loop_without_a_cache_and_padding_changes_none(string type)
    {
        using var model = Build(type);
        model.eval();
        var prompt = randint(0, 97, [2, 6]);
        var expected = prompt;
        using (no_grad())
        {
            for (var i = 0; i < 9; i++) expected = cat([expected, model.call(expected).Logits[.., -1].argmax(-1, keepdim: true)], 1);
        }
        model.train();
        var text = model.Generate(prompt, new() { MaxNewTokens = 9 });
        Assert.Equal(Numbers(expected), Numbers(text));
        Assert.True(model.training);

        var padded = cat([full([1, 3], 7, ScalarType.Int64), prompt[..1]], 1);
        var mask = cat([zeros([1, 3], ScalarType.Int64), ones([1, 6], ScalarType.Int64)], 1);
        var batch = model.Generate(cat([padded, randint(0, 97, [1, 9])]), new() { MaxNewTokens = 9 }, cat([mask, ones([1, 9], ScalarType.Int64)]));
        Assert.Equal(Numbers(expected[0, 6..]), Numbers(batch[0, 9..]));
    }

    [Fact]
    public void Sampling_follows_its_seed_and_its_limits()
    {
        using var model = Build();
        var prompt = randint(0, 97, [3, 4]);
        var greedy = Numbers(model.Generate(prompt));
        Assert.Equal(greedy, Numbers(model.Generate(prompt, new() { DoSample = true, TopK = 1 })));
        Assert.Equal(greedy, Numbers(model.Generate(prompt, new() { DoSample = true, TopK = 0, TopP = 1e-6 })));
        Assert.Equal(greedy, Numbers(model.Generate(prompt, new() { DoSample = true, Temperature = 1e-4 })));
        long[] Draw(ulong seed) => Numbers(model.Generate(prompt, new() { DoSample = true, TopP = 0.9, Generator = new Generator(seed) }));
        Assert.Equal(Draw(1), Draw(1));
        Assert.NotEqual(Draw(1), Draw(2));
        Assert.NotEqual(greedy, Draw(1));
    }

    [Fact]
    public void Drawn_tokens_have_the_probabilities_that_the_options_leave()
    {
        // 0.5, 0.25, 0.125, 0.125: of which top-p 0.7 leaves the first two, top-k 3 the first three.
        var logits = tensor(new float[] { 0.125f, 0.5f, 0.125f, 0.25f }).log().unsqueeze(0).expand(4000, 4);
        Tensor Shares(GenerationOptions options) =>
            Generation.TokenChoice.Next(logits, options with { DoSample = true, Generator = new Generator(11) }).flatten().bincount(null, 4).to(ScalarType.Float32) / 4000;
        void Check(GenerationOptions options, params float[] expected) =>
            Assert.True((Shares(options) - tensor(expected)).abs().max().item<float>() < 0.03, string.Join(" ", Shares(options).data<float>()));
        Check(new() { TopK = 0 }, 0.125f, 0.5f, 0.125f, 0.25f);
        Check(new() { TopK = 0, TopP = 0.7 }, 0, 2 / 3f, 0, 1 / 3f);
        Check(new() { TopK = 2 }, 0, 2 / 3f, 0, 1 / 3f);
        Check(new() { TopK = 0, Temperature = 0.5 }, 1 / 22f, 16 / 22f, 1 / 22f, 4 / 22f);
    }

    [Fact]
    public void An_end_token_ends_a_text_and_the_listener_sees_and_stops_it()
    {
        using var model = Build();
        var prompt = randint(0, 97, [2, 4]);
        var free = model.Generate(prompt, new() { MaxNewTokens = 24 });
        var first = Numbers(free[0, 4..]);
        var second = Numbers(free[1, 4..]);
        long end = first[2];
        var text = model.Generate(prompt, new() { MaxNewTokens = 24, EosTokenIds = [end], PadTokenId = 96 });
        var length = Math.Max(Array.IndexOf(first, end), Array.IndexOf(second, end) is var at and >= 0 ? at : 23) + 1;
        Assert.Equal(4 + length, text.shape[1]);
        Assert.Equal([.. first.TakeWhile(token => token != end), end], Numbers(text[0, 4..]).Take(Array.IndexOf(first, end) + 1));
        Assert.All(Numbers(text[0, 4..]).Skip(Array.IndexOf(first, end) + 1), token => Assert.Equal(96, token));

        var seen = new List<long[]>();
        var stopped = model.Generate(prompt, new() { OnToken = tokens => { seen.Add(Numbers(tokens)); return seen.Count < 5; } });
        Assert.Equal(9, stopped.shape[1]);
        Assert.Equal(Numbers(stopped[0, 4..]), seen.Select(tokens => tokens[0]));
    }

    [Fact]
    public void What_cannot_be_generated_is_said()
    {
        using var model = Build("gpt2");
        var prompt = randint(0, 97, [1, 4]);
        Assert.Contains("32 positions", Assert.Throws<ArgumentException>(() => model.Generate(prompt, new() { MaxNewTokens = 29 })).Message);
        Assert.Contains("pad on the left", Assert.Throws<ArgumentException>(() => model.Generate(prompt, attentionMask: tensor(new long[,] { { 1, 1, 1, 0 } }))).Message);
        Assert.Contains("Temperature", Assert.Throws<ArgumentOutOfRangeException>(() => model.Generate(prompt, new() { Temperature = 0 })).Message);
        Assert.Contains("int64", Assert.Throws<ArgumentException>(() => model.Generate(prompt.to(ScalarType.Int32))).Message);
    }
}

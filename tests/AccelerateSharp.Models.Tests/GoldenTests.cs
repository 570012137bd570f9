using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests;

/// <summary>Each architecture against Hugging Face's implementation of it; see <c>scripts/golden_logits.py</c>.</summary>
public sealed class GoldenTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    public static TheoryData<string> Cases => [.. Directory.GetFiles(Golden.Folder, "*.json").Select(file => Path.GetFileNameWithoutExtension(file)).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Logits_loss_gradients_and_greedy_tokens_are_those_of_transformers(string name)
    {
        using var golden = Golden.Read(name);
        using var model = golden.Build();
        var inputs = golden.Inputs();
        var logits = model.call(inputs).Logits;
        if (golden.Find("positions") is { } positions) logits = logits.index_select(1, positions);
        Assert.InRange(DecoderTests.Difference(logits.flatten(), golden.Logits()), 0, 1e-4);

        var loss = model.call(inputs with { Labels = golden.Find("labels") }).Loss;
        loss.backward();
        Assert.Equal(golden.Root.GetProperty("loss").GetDouble(), loss.item<float>(), 1e-4);
        var gradients = model.named_parameters().ToDictionary(entry => entry.name, entry => entry.parameter.grad);
        var largest = golden.Root.GetProperty("gradient_norms").EnumerateObject().Max(entry => entry.Value.GetDouble());
        foreach (var entry in golden.Root.GetProperty("gradient_norms").EnumerateObject())
        {
            var expected = entry.Value.GetDouble();
            var actual = gradients[Golden.HubName(entry.Name)]?.norm().item<float>() ?? throw new InvalidOperationException($"{entry.Name} has no gradient.");
            Assert.True(Math.Abs(actual - expected) <= (1e-3 * expected) + (1e-6 * largest), $"{entry.Name}: gradient norm {actual}, expected {expected}");
        }

        if (golden.Find("generated") is { } generated)
        {
            var text = ((CausalLanguageModel)model).Generate(inputs.InputIds!, new() { MaxNewTokens = (int)generated.shape[1], EosTokenIds = [] }, inputs.AttentionMask);
            Assert.Equal(generated.flatten().data<long>().ToArray(), text.narrow(1, inputs.InputIds!.shape[1], generated.shape[1]).flatten().data<long>().ToArray());
        }
    }
}

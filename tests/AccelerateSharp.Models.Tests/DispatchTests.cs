using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Models.Tests;

/// <summary>A model of the Hub under device maps: nothing of it knows that its layers lie elsewhere.</summary>
public sealed class DispatchTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    public void Dispose()
    {
        _scope.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    public static TheoryData<string> Families => ["llama", "gpt2"];

    [Theory]
    [MemberData(nameof(Families))]
    public void Logits_and_text_are_those_of_the_whole_model(string type)
    {
        PretrainedConfig config = type == "gpt2"
            ? new Gpt2Config { VocabSize = 97, NEmbd = 32, NLayer = 4, NHead = 4, NPositions = 32, InitializerRange = 0.3 }
            : DecoderTests.Tiny(type) with { NumHiddenLayers = 4, TieWordEmbeddings = true };
        using var whole = (CausalLanguageModel)PretrainedModel.FromConfig(config);
        whole.eval();
        whole.SavePretrained(_folder);
        var layers = type == "gpt2" ? "transformer.h" : "model.layers";
        using var spread = BigModeling.InitEmptyWeights(() => (CausalLanguageModel)PretrainedModel.FromConfig(_folder));
        var map = new DeviceMap();
        foreach (var name in spread.state_dict().Keys)
        {
            var block = name.StartsWith(layers, StringComparison.Ordinal) ? string.Join('.', name.Split('.').Take(3)) : name[..name.LastIndexOf('.')];
            map[block] = name.Contains(".1.", StringComparison.Ordinal) || name.Contains(".2.", StringComparison.Ordinal) ? Placement.Disk : Placement.Cpu;
        }
        BigModeling.LoadCheckpointAndDispatch(spread, _folder, map, offloadFolder: Path.Combine(_folder, "offload"));
        spread.eval();
        using var noGradient = no_grad();
        var tokens = randint(0, 97, [2, 7]);
        Assert.True(DecoderTests.Difference(spread.call(tokens).Logits, whole.call(tokens).Logits) < 1e-5);
        Assert.Equal(whole.Generate(tokens).data<long>().ToArray(), spread.Generate(tokens).data<long>().ToArray());
    }
}

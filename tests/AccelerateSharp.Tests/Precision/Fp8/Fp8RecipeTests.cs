using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Launch;
using AccelerateSharp.Precision;
using AccelerateSharp.Precision.Fp8;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.Precision.Fp8;

/// <summary>Where a recipe's values come from, what contradicts it, and which layers it takes.</summary>
public sealed class Fp8RecipeTests
{
    private static FP8RecipeKwargs? Recipe(MixedPrecision precision, FP8RecipeKwargs? fromProgram, params (string Name, string Value)[] variables) =>
        PrecisionChoice.Recipe(precision, fromProgram, new EnvironmentReader(name => variables.FirstOrDefault(variable => $"ACCELERATE_FP8_{variable.Name}" == name).Value));

    [Fact]
    public void Without_a_word_it_is_Transformer_Engines_with_its_defaults() =>
        Assert.Equal(
            new TERecipeKwargs
            {
                UseAutocastDuringEval = false,
                Margin = 0,
                Interval = 1,
                Format = Fp8Format.Hybrid,
                AmaxHistoryLen = 1024,
                AmaxComputeAlgo = AmaxComputeAlgo.MostRecent,
                OverrideLinearPrecision = (false, false, false),
            },
            Recipe(MixedPrecision.FP8, null));

    [Fact]
    public void The_environment_fills_in_what_the_program_leaves_open()
    {
        (string, string)[] variables =
        [
            ("BACKEND", "te"), ("USE_AUTOCAST_DURING_EVAL", "True"), ("MARGIN", "2"), ("INTERVAL", "3"), ("FORMAT", "e4m3"), ("AMAX_HISTORY_LEN", "16"),
            ("AMAX_COMPUTE_ALGO", "max"), ("OVERRIDE_WGRAD", "true"),
        ];
        var all = new TERecipeKwargs
        {
            UseAutocastDuringEval = true,
            Margin = 2,
            Interval = 3,
            Format = Fp8Format.E4M3,
            AmaxHistoryLen = 16,
            AmaxComputeAlgo = AmaxComputeAlgo.Max,
            OverrideLinearPrecision = (false, false, true),
        };
        Assert.Equal(all, Recipe(MixedPrecision.FP8, null, variables));
        Assert.Equal(all with { Margin = 1 }, Recipe(MixedPrecision.FP8, new TERecipeKwargs { Margin = 1 }, variables));
        Assert.IsType<AORecipeKwargs>(Recipe(MixedPrecision.FP8, null, ("BACKEND", "AO")));
        Assert.Equal(MSAMPOptLevel.O2, Assert.IsType<MSAMPRecipeKwargs>(Recipe(MixedPrecision.FP8, null, ("BACKEND", "MSAMP"))).OptLevel);
        Assert.Equal(MSAMPOptLevel.O1, Assert.IsType<MSAMPRecipeKwargs>(Recipe(MixedPrecision.FP8, null, ("BACKEND", "msamp"), ("OPTIMIZATION_LEVEL", "O1"))).OptLevel);
        Assert.IsType<AORecipeKwargs>(Recipe(MixedPrecision.FP8, new AORecipeKwargs(), variables));
        Assert.Null(Recipe(MixedPrecision.BF16, null, variables));
    }

    [Theory]
    [InlineData("BACKEND", "transformer", "te, ao or msamp")]
    [InlineData("FORMAT", "E5M2", "2 bits of mantissa")]
    [InlineData("FORMAT", "E3M4", "HYBRID or E4M3")]
    [InlineData("MARGIN", "much", "whole number")]
    [InlineData("INTERVAL", "0", "1 or more")]
    [InlineData("AMAX_HISTORY_LEN", "0", "1 or more")]
    [InlineData("AMAX_COMPUTE_ALGO", "mean", "most_recent or max")]
    [InlineData("OVERRIDE_FPROP", "true", "only the gradient of the weight")]
    [InlineData("USE_MXFP8_BLOCK_SCALING", "true", "not supported")]
    public void A_value_that_cannot_be_is_an_error_that_names_it(string name, string value, string expected)
    {
        var error = Assert.ThrowsAny<Exception>(() => Recipe(MixedPrecision.FP8, null, (name, value)));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_recipe_beside_another_precision_is_a_contradiction()
    {
        var error = Assert.Throws<ArgumentException>(() => Recipe(MixedPrecision.BF16, new TERecipeKwargs()));
        Assert.Contains("TERecipeKwargs", error.Message, StringComparison.Ordinal);
        Assert.Contains("BF16", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Layers_that_float8_cannot_take_or_that_are_too_small_are_left_alone_and_listed()
    {
        using var model = Sequential(("in", Linear(64, 64)), ("odd", Linear(64, 65)), ("odd2", Linear(65, 64)), ("small", Linear(64, 16)), ("act", ReLU()), ("out", Linear(64, 64)));
        var choice = LayerChoice.Of(model, new Fp8Settings { MinWeightElements = 2000 });
        Assert.Equal(["in", "out"], choice.Chosen.Select(layer => layer.Name));
        Assert.Equal(
            "fp8: 2 of 5 linear layers compute in float8; left alone: odd (64 × 65: float8 takes multiples of 16); odd2 (65 × 64: float8 takes multiples of 16); small (64 × 16: too small to gain).",
            choice.Describe());
        var ao = (AORecipeKwargs)Recipe(MixedPrecision.FP8, new AORecipeKwargs { ModuleFilter = (name, _) => name != "small" })!;
        Assert.Empty(LayerChoice.Of(model, ao.ToSettings(multiplies: false)).Chosen);
        Assert.Equal(["small"], LayerChoice.Of(model, (ao with { ModuleFilter = null }).ToSettings(multiplies: false)).Chosen.Select(layer => layer.Name));
        Assert.Equal(1L << 20, new TERecipeKwargs().Resolve(new Fp8Environment(new EnvironmentReader(_ => null))).ToSettings(multiplies: true).MinWeightElements);
    }

    [Fact]
    public void The_compiler_is_looked_for_where_libtorch_and_the_toolkit_are()
    {
        var folder = Directory.CreateTempSubdirectory();
        try
        {
            var torch = Directory.CreateDirectory(Path.Combine(folder.FullName, "torch", "lib")).FullName;
            var nvidia = Directory.CreateDirectory(Path.Combine(folder.FullName, "nvidia", "cu13", "lib")).FullName;
            foreach (var file in new[] { Path.Combine(torch, "libnvrtc-builtins-a1.so.12.8"), Path.Combine(torch, "libnvrtc-a1.so.12"), Path.Combine(nvidia, "libnvrtc.so.13"), Path.Combine(nvidia, "libnvrtc.alt.so.13") })
                File.WriteAllText(file, "");
            Assert.Equal(
                [Path.Combine(torch, "libnvrtc-a1.so.12"), Path.Combine(nvidia, "libnvrtc.so.13"), "libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"],
                NvrtcSearch.Candidates(null, [torch], Path.Combine(folder.FullName, "cuda")));
            Assert.Equal([Path.Combine(nvidia, "libnvrtc.so.13")], NvrtcSearch.Candidates(nvidia, [torch], null));
            Assert.Equal(["/a/libnvrtc.so.12"], NvrtcSearch.Candidates("/a/libnvrtc.so.12", [torch], null));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}

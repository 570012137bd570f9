using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.Precision.Fp8;

/// <summary>A model learns under every recipe what it learns in float32; benchmarks/results/fp8.md has the demo's language model.</summary>
[Collection("process state")]
public sealed class Fp8ConvergenceTests : IDisposable
{
    private const int Features = 64, Classes = 16, Steps = 50;

    private static readonly Lazy<double> _exact = new(() => HeldOutLoss(MixedPrecision.No, null));

    private readonly DisposeScope _scope = NewDisposeScope();

    public static TheoryData<string> Recipes => ["TE", "TE, E4M3", "AO", "AO, rows", "O1", "O2", "O3"];

    public void Dispose() => _scope.Dispose();

    [Theory]
    [MemberData(nameof(Recipes))]
    public void The_held_out_loss_is_within_1_percent_of_float32(string name)
    {
        FP8RecipeKwargs recipe = name switch
        {
            "TE" => new TERecipeKwargs(),
            "TE, E4M3" => new TERecipeKwargs { Format = Fp8Format.E4M3, AmaxComputeAlgo = AmaxComputeAlgo.Max, AmaxHistoryLen = 8, Margin = 1 },
            "AO" => new AORecipeKwargs(),
            "AO, rows" => new AORecipeKwargs { Scaling = Float8Scaling.Rowwise },
            _ => new MSAMPRecipeKwargs { OptLevel = Enum.Parse<MSAMPOptLevel>(name) },
        };
        Assert.InRange(_exact.Value, 1, 2.2);
        Assert.Equal(_exact.Value, HeldOutLoss(MixedPrecision.FP8, recipe), 0.01 * _exact.Value);
    }

    private static double HeldOutLoss(MixedPrecision precision, FP8RecipeKwargs? recipe)
    {
        using var scope = NewDisposeScope();
        var accelerator = new Accelerator(cpu: true, mixedPrecision: precision, fp8Recipe: recipe);
        using var teacher = Numbers(99, Classes, Features);
        var made = Sequential(Linear(Features, 128), GELU(), Linear(128, 64), GELU(), Linear(64, Classes));
        // Other tests draw from the same random numbers meanwhile.
        var seed = 1;
        using (no_grad())
            foreach (var parameter in made.parameters()) parameter.copy_(Numbers(seed++, [.. parameter.shape]) * (parameter.dim() == 1 ? 0.0 : 1 / Math.Sqrt(parameter.shape[1])));
        var (model, optimizer) = accelerator.Prepare(made, new FusedAdamW(made.parameters(), 4e-3));
        for (var step = 0; step < Steps; step++)
        {
            using var stepScope = NewDisposeScope();
            optimizer.zero_grad();
            accelerator.Backward(Loss(step));
            optimizer.step();
        }

        using var noGrad = no_grad();
        var loss = Loss(1000).item<float>();
        accelerator.FreeMemory();
        return loss;

        Tensor Loss(int batch)
        {
            var inputs = Numbers(1000 + batch, batch == 1000 ? 512 : 64, Features);
            // The answers are uncertain, as the next letter of a text is.
            var answers = functional.softmax(inputs.matmul(teacher.t()) / 4, 1);
            return -(answers * functional.log_softmax(model.call(inputs), 1)).sum(1).mean();
        }
    }

    private static Tensor Numbers(int seed, params long[] shape)
    {
        var random = new Random(seed);
        var count = shape.Aggregate(1L, (product, size) => product * size);
        return tensor(Enumerable.Range(0, (int)count).Select(_ => (float)Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * (float)Math.Cos(2 * Math.PI * random.NextDouble())).ToArray()).reshape(shape);
    }
}

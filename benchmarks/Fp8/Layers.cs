using System.Globalization;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Benchmarks.Fp8;

/// <summary>Forward and backward of the linear layers of Llama-like blocks, everything else left out: what float8 can gain at most.</summary>
internal static class Layers
{
    public static void Run(Device device, bool small)
    {
        var (width, inner, blocks, rows) = small ? (32, 48, 2, 32) : (2048, 5632, 8, 8192);
        Console.WriteLine();
        Console.WriteLine($"{blocks} blocks of width {width}, inner {inner}, {rows} tokens: median ms of forward and backward");
        Console.WriteLine();
        Console.WriteLine("| | forward | backward | both | against bf16 |");
        Console.WriteLine("|---|---|---|---|---|");
        var reference = 0.0;
        Measure("bf16", MixedPrecision.BF16, null);
        Measure("fp8 TE (delayed scaling)", MixedPrecision.FP8, new TERecipeKwargs { MinWeightElements = 0 });
        Measure("fp8 AO (current scaling)", MixedPrecision.FP8, new AORecipeKwargs { MinWeightElements = 0 });
        Measure("fp8 AO (rows)", MixedPrecision.FP8, new AORecipeKwargs { MinWeightElements = 0, Scaling = Float8Scaling.Rowwise });

        void Measure(string name, MixedPrecision precision, FP8RecipeKwargs? recipe)
        {
            using var scope = NewDisposeScope();
            manual_seed(1);
            var accelerator = new Accelerator(cpu: device.type == DeviceType.CPU, mixedPrecision: precision, fp8Recipe: recipe);
            var model = accelerator.Prepare(new Stack(width, inner, blocks));
            var x = randn([rows, width], dtype: ScalarType.BFloat16, device: device).requires_grad_();
            var (forward, both) = (0.0, 0.0);
            using (no_grad()) _ = model.call(x);
            forward = Timing.Median(device, 5, 2, () => model.call(x));
            both = Timing.Median(device, 5, 2, () =>
            {
                foreach (var parameter in model.parameters()) parameter.grad = null;
                accelerator.Backward(model.call(x).sum());
            });
            if (recipe is null) reference = both;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {name} | {forward:F2} | {both - forward:F2} | {both:F2} | {reference / both:F2} × |"));
            accelerator.FreeMemory();
        }
    }

    /// <summary>Query, key, value, output, gate, up and down projections, with the cheapest operators between them that keep gradients honest.</summary>
    private sealed class Stack : Module<Tensor, Tensor>
    {
        private readonly (Module<Tensor, Tensor> Q, Module<Tensor, Tensor> K, Module<Tensor, Tensor> V, Module<Tensor, Tensor> O, Module<Tensor, Tensor> Gate, Module<Tensor, Tensor> Up, Module<Tensor, Tensor> Down)[] _blocks;

        public Stack(int width, int inner, int blocks) : base(nameof(Stack))
        {
            _blocks = new (Module<Tensor, Tensor>, Module<Tensor, Tensor>, Module<Tensor, Tensor>, Module<Tensor, Tensor>, Module<Tensor, Tensor>, Module<Tensor, Tensor>, Module<Tensor, Tensor>)[blocks];
            for (var i = 0; i < blocks; i++)
            {
                Module<Tensor, Tensor> Made(string name, int from, int to)
                {
                    var layer = Linear(from, to, hasBias: false);
                    register_module($"{name}{i}", layer);
                    return layer;
                }

                _blocks[i] = (Made("q", width, width), Made("k", width, width), Made("v", width, width), Made("o", width, width),
                    Made("gate", width, inner), Made("up", width, inner), Made("down", inner, width));
            }
        }

        public override Tensor forward(Tensor input)
        {
            var x = input;
            foreach (var block in _blocks)
            {
                x = x + block.O.call(block.Q.call(x) + block.K.call(x) + block.V.call(x));
                x = x + block.Down.call(block.Gate.call(x) * block.Up.call(x));
            }

            return x;
        }
    }
}

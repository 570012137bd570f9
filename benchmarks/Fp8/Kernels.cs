using System.Globalization;
using AccelerateSharp.Precision.Fp8;
using static TorchSharp.torch;

namespace AccelerateSharp.Benchmarks.Fp8;

/// <summary>What the parts of a float8 layer take alone, for the shapes of a 1.5-billion-parameter Llama.</summary>
internal static class Kernels
{
    public static void Run(Device device, bool small)
    {
        Console.WriteLine();
        Console.WriteLine("| kernel | shape | µs | |");
        Console.WriteLine("|---|---|---|---|");
        var rows = small ? 64 : 8192;
        foreach (var (inner, columns) in small ? [(32, 48)] : new[] { (2048, 2048), (2048, 5632), (5632, 2048) })
        {
            using var scope = NewDisposeScope();
            var activation = randn([rows, inner], dtype: ScalarType.BFloat16, device: device);
            var gradient = randn([rows, columns], dtype: ScalarType.BFloat16, device: device);
            var weight = randn([columns, inner], device: device);
            var (scale, amax) = (ones(1, device: device), zeros(1, device: device));
            var delayed = new ScaleSource(scale, amax);
            Line("quantise and transpose, bf16", $"{rows} × {inner}", activation.numel() * 4, () => Float8Quantizer.Quantize(activation, Float8Kind.E4M3, delayed, plain: true, turned: true).Dispose());
            Line("quantise, bf16", $"{rows} × {inner}", activation.numel() * 3, () => Float8Quantizer.Quantize(activation, Float8Kind.E4M3, delayed).Dispose());
            Line("the same, current scaling", $"{rows} × {inner}", activation.numel() * 6, () => Float8Quantizer.Quantize(activation, Float8Kind.E4M3, new ScaleSource(null, null), plain: true, turned: true).Dispose());
            Line("quantise and transpose, fp32 weight", $"{columns} × {inner}", weight.numel() * 6, () => Float8Quantizer.Quantize(weight, Float8Kind.E4M3, delayed, plain: true, turned: true).Dispose());
            using var x = Float8Quantizer.Quantize(activation, Float8Kind.E4M3, delayed, plain: true, turned: true);
            using var w = Float8Quantizer.Quantize(weight, Float8Kind.E4M3, delayed, plain: true, turned: true);
            using var g = Float8Quantizer.Quantize(gradient, Float8Kind.E5M2, delayed, plain: true, turned: true);
            var half = weight.to(ScalarType.BFloat16);
            var products = 2.0 * rows * inner * columns;
            Product("output, bf16", () => activation.matmul(half.t()));
            Product("output, fp8", () => Float8Product.Multiply(x.Codes!, x.Inverse, w.Codes!, w.Inverse, ScalarType.BFloat16, fastAccumulation: true));
            Product("gradient of the input, bf16", () => gradient.matmul(half));
            Product("gradient of the input, fp8", () => Float8Product.Multiply(g.Codes!, g.Inverse, w.Turned!, w.Inverse, ScalarType.BFloat16));
            Product("gradient of the input, fp8, fast accumulation", () => Float8Product.Multiply(g.Codes!, g.Inverse, w.Turned!, w.Inverse, ScalarType.BFloat16, fastAccumulation: true));
            Product("gradient of the weight, bf16", () => gradient.t().matmul(activation));
            Product("gradient of the weight, fp8", () => Float8Product.Multiply(g.Turned!, g.Inverse, x.Turned!, x.Inverse, ScalarType.BFloat16));
            Product("gradient of the weight, fp8, fast accumulation", () => Float8Product.Multiply(g.Turned!, g.Inverse, x.Turned!, x.Inverse, ScalarType.BFloat16, fastAccumulation: true));

            void Product(string name, Action action) => Print(name, $"{rows} × {inner} × {columns}", action, time => $"{products / time / 1e9:F0} TFLOP/s");
        }

        void Line(string name, string shape, double bytes, Action action) => Print(name, shape, action, time => $"{bytes / time / 1e6:F0} GB/s");

        void Print(string name, string shape, Action action, Func<double, string> rate)
        {
            var time = Timing.Median(device, runs: 5, repeats: small ? 1 : 50, action);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {name} | {shape} | {time * 1000:F1} | {rate(time)} |"));
        }
    }
}

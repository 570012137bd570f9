using System.Globalization;
using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Precision.Fp8;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Benchmarks.Fp8;

/// <summary>Whether float8 on a device gives the numbers that it should.</summary>
internal static class Checks
{
    public static bool Run(Device device, bool small)
    {
        manual_seed(1);
        Console.WriteLine($"device {device}; multiplies float8: {Float8Hardware.Multiplies(device)}; own kernels: {Float8Hardware.Kernels(device) is not null}; compiler: {Nvrtc.WhyUnavailable ?? "found"}");
        var right = true;
        foreach (var dtype in new[] { ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float16 })
            foreach (var kind in new[] { Float8Kind.E4M3, Float8Kind.E5M2 })
                foreach (var (rows, columns) in new[] { (16L, 16L), (21L, 80L), (128L, 64L), (1000L, 272L), (small ? 64L : 8192L, small ? 48L : 2048L) })
                    right &= Quantizing(device, dtype, kind, rows, columns);
        foreach (var (rows, inner, columns) in new[] { (21L, 32L, 48L), (200L, 256L, 128L), (small ? 16L : 8192L, small ? 16L : 2048L, small ? 16L : 5632L) })
            right &= Multiplying(device, rows, inner, columns);
        foreach (var recipe in new FP8RecipeKwargs[] { new TERecipeKwargs { MinWeightElements = 0 }, new TERecipeKwargs { MinWeightElements = 0, Format = Fp8Format.E4M3 }, new TERecipeKwargs { MinWeightElements = 0, OverrideLinearPrecision = (false, false, true) } })
            right &= Layer(device, recipe, small);
        foreach (var level in Enum.GetValues<MSAMPOptLevel>()) right &= MsAmp(device, level, small);
        Console.WriteLine(right ? "checks: all right" : "checks: NOT all right");
        return right;
    }

    /// <summary>The kernel on the GPU against libtorch's operators on the CPU.</summary>
    private static bool Quantizing(Device device, ScalarType dtype, Float8Kind kind, long rows, long columns)
    {
        using var scope = NewDisposeScope();
        var matrix = randn(rows, columns).mul(3).to(dtype);
        matrix[0, 0] = 1e4;
        matrix[0, 1] = 1e-7;
        var right = true;
        foreach (var given in new[] { true, false })
        {
            var (here, there) = (zeros(1), zeros(1, device: device));
            var scale = full([1], 7.25);
            using var expected = Float8Quantizer.Quantize(matrix, kind, new ScaleSource(given ? scale : null, here, 0.5f), plain: true, turned: true);
            using var actual = Float8Quantizer.Quantize(matrix.to(device), kind, new ScaleSource(given ? scale.to(device) : null, there, 0.5f), plain: true, turned: true);
            var same = Bytes(expected.Codes!).equal(Bytes(actual.Codes!).cpu()).all().item<bool>() && Bytes(expected.Turned!).equal(Bytes(actual.Turned!).cpu()).all().item<bool>();
            var numbers = expected.Inverse.item<float>() == actual.Inverse.item<float>() && here.item<float>() == there.item<float>();
            if (same && numbers) continue;
            right = false;
            Console.WriteLine($"WRONG quantize {dtype} to {kind} [{rows}, {columns}], {(given ? "given scale" : "own scale")}: "
                + $"{Bytes(expected.Codes!).ne(Bytes(actual.Codes!).cpu()).sum().item<long>()} codes, {Bytes(expected.Turned!).ne(Bytes(actual.Turned!).cpu()).sum().item<long>()} transposed codes differ; "
                + $"inverse {expected.Inverse.item<float>()} / {actual.Inverse.item<float>()}, amax {here.item<float>()} / {there.item<float>()}");
        }

        return right;
    }

    private static bool Multiplying(Device device, long rows, long inner, long columns)
    {
        using var scope = NewDisposeScope();
        var (a, b) = (randn([rows, inner], device: device), randn([columns, inner], device: device));
        var right = true;
        foreach (var (kind, dtype, fast) in new[] { (Float8Kind.E4M3, ScalarType.BFloat16, true), (Float8Kind.E5M2, ScalarType.Float32, false), (Float8Kind.E5M2, ScalarType.Float16, false) })
        {
            using var left = Float8Quantizer.Quantize(a, kind, new ScaleSource(null, null));
            using var other = Float8Quantizer.Quantize(b, Float8Kind.E4M3, new ScaleSource(null, null));
            var bias = dtype == ScalarType.Float32 ? null : randn(columns, device: device);
            var product = Float8Product.Multiply(left.Codes!, left.Inverse, other.Codes!, other.Inverse, dtype, bias, fast).to(float32);
            right &= Rows(a, b, kind, dtype, fast);
            var exact = Float8Quantizer.Dequantize(left.Codes!, left.Inverse).matmul(Float8Quantizer.Dequantize(other.Codes!, other.Inverse).t());
            if (bias is not null) exact.add_(bias);
            var error = (product - exact).abs().max().item<float>() / exact.abs().max().item<float>();
            var fine = error < 0.02;
            right &= fine;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{(fine ? "right" : "WRONG")} product {kind} × E4M3 [{rows}, {inner}] × [{inner}, {columns}] to {dtype}: error {error:E1} of the largest"));
        }

        return right;
    }

    /// <summary>The same with a scale for each row. The hardware takes E4M3 alone there.</summary>
    private static bool Rows(Tensor a, Tensor b, Float8Kind kind, ScalarType dtype, bool fast)
    {
        if (kind != Float8Kind.E4M3) return true;
        using var left = Float8Quantizer.QuantizeRows(a, kind);
        using var other = Float8Quantizer.QuantizeRows(b, kind);
        var product = Float8Product.Multiply(left.Codes!, left.Inverse, other.Codes!, other.Inverse, dtype, fastAccumulation: fast).to(float32);
        var exact = Float8Quantizer.Dequantize(left.Codes!, left.Inverse).matmul(Float8Quantizer.Dequantize(other.Codes!, other.Inverse).t());
        var error = (product - exact).abs().max().item<float>() / exact.abs().max().item<float>();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{(error < 0.02 ? "right" : "WRONG")} product with a scale for each row [{a.shape[0]}, {a.shape[1]}]: error {error:E1} of the largest"));
        return error < 0.02;
    }

    /// <summary>A prepared layer's output and gradients against float32: within the format's precision.</summary>
    private static bool Layer(Device device, FP8RecipeKwargs recipe, bool small)
    {
        using var scope = NewDisposeScope();
        var accelerator = new Accelerator(cpu: device.type == DeviceType.CPU, mixedPrecision: MixedPrecision.FP8, fp8Recipe: recipe);
        var (rows, width) = small ? (24, 32) : (1000, 1024);
        var layer = accelerator.Prepare(nn.Linear(width, 2 * width));
        var right = true;
        for (var step = 0; step < 3; step++)
        {
            layer.zero_grad();
            var x = randn([rows, width], device: device).requires_grad_();
            var direction = randn([rows, 2 * width], device: device);
            var output = layer.call(x);
            accelerator.Backward((output * direction).sum());
            var expected = x.detach().matmul(layer.weight!.detach().t()) + layer.bias!.detach();
            right &= Close("output", output.detach(), expected, 0.05);
            right &= Close("input's gradient", x.grad!, direction.matmul(layer.weight.detach()), 0.1);
            right &= Close("weight's gradient", layer.weight.grad!, direction.t().matmul(x.detach()), 0.1);
            right &= Close("bias' gradient", layer.bias.grad!, direction.sum([0L]), 0.05);
        }

        accelerator.FreeMemory();
        return right;

        bool Close(string what, Tensor actual, Tensor expected, double limit)
        {
            var error = ((actual - expected).norm() / expected.norm()).item<float>();
            if (error < limit && actual.dtype == float32) return true;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"WRONG {what} under {recipe.GetType().Name}: relative error {error:E2}, limit {limit}, {actual.dtype}"));
            return false;
        }
    }

    /// <summary>A few steps under an MS-AMP level against the same in float32.</summary>
    private static bool MsAmp(Device device, MSAMPOptLevel level, bool small)
    {
        using var scope = NewDisposeScope();
        var width = small ? 32 : 512;
        var (x, y) = (randn([4 * width, width], device: device), randn([4 * width, width], device: device));
        double Loss(Accelerator accelerator)
        {
            manual_seed(3);
            var made = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width));
            var (model, optimizer) = accelerator.Prepare(made, new FusedAdamW(made.parameters(), 1e-3));
            var last = 0.0;
            for (var step = 0; step < 30; step++)
            {
                using var batch = NewDisposeScope();
                optimizer.zero_grad();
                var loss = nn.functional.mse_loss(model.call(x), y);
                accelerator.Backward(loss);
                optimizer.step();
                last = loss.item<float>();
            }

            accelerator.FreeMemory();
            return last;
        }

        var cpu = device.type == DeviceType.CPU;
        var exact = Loss(new Accelerator(cpu: cpu, mixedPrecision: MixedPrecision.No));
        var stored = Loss(new Accelerator(cpu: cpu, mixedPrecision: MixedPrecision.FP8, fp8Recipe: new MSAMPRecipeKwargs { OptLevel = level }));
        var fine = Math.Abs(stored - exact) < 0.05 * exact;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{(fine ? "right" : "WRONG")} MS-AMP {level}: loss after 30 steps {stored:F4}, in float32 {exact:F4}"));
        return fine;
    }

    private static Tensor Bytes(Tensor codes) => Float8Kinds.Reinterpret(codes, ScalarType.Byte);
}

using AccelerateSharp.Optimizers;
using CsCheck;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Optimizers;

public sealed class AdamW8bitTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void The_map_has_256_values_that_rise_from_the_least_to_one(bool signed)
    {
        var map = BlockQuantization.Map(signed);
        Assert.Equal(256, map.Distinct().Count());
        Assert.Equal(map.Order(), map);
        Assert.Equal(1, map[^1]);
        Assert.Contains(0, map);
        Assert.Equal(signed, map[0] < 0);
        // The smallest of the seven decades.
        Assert.InRange(map.Where(value => value > 0).Min(), 1e-7, 1e-6);
    }

    [Fact]
    public void What_is_encoded_comes_back_to_the_nearest_value_of_the_map() =>
        Gen.Float[-1e6f, 1e6f].Array[1, 3 * BlockQuantization.BlockSize].Select(Gen.Bool).Sample(
            (values, signed) =>
            {
                using var scope = NewDisposeScope();
                if (!signed) values = Array.ConvertAll(values, Math.Abs);
                var blocks = BlockQuantization.Blocks(values.Length);
                var padded = zeros(blocks * BlockQuantization.BlockSize);
                padded.narrow(0, 0, values.Length).copy_(tensor(values));
                var (codes, scales) = (zeros([blocks, BlockQuantization.BlockSize], ScalarType.Byte), zeros(blocks));
                var quantization = BlockQuantization.On(CPU, signed);
                quantization.Encode(padded, codes, scales);
                var decoded = quantization.Decode(codes, scales).data<float>().ToArray();
                var map = BlockQuantization.Map(signed);
                for (var i = 0; i < values.Length; i++)
                {
                    var block = values.Skip(i / BlockQuantization.BlockSize * BlockQuantization.BlockSize).Take(BlockQuantization.BlockSize);
                    var scale = block.Max(Math.Abs);
                    var error = Math.Abs(decoded[i] - values[i]);
                    // A square is never stored as zero.
                    var best = (signed ? map : map[1..]).Min(value => Math.Abs((value * scale) - values[i]));
                    // A block whose largest number is below 1e-30 counts as zeros.
                    if (error > best + (1e-5 * scale) + 1e-30) return false;
                }

                return true;
            },
            iter: 30);

    [Fact]
    public void A_row_of_zeros_stays_zero()
    {
        var quantization = BlockQuantization.On(CPU, signed: true);
        var (codes, scales) = (zeros([1, BlockQuantization.BlockSize], ScalarType.Byte), zeros(1));
        quantization.Encode(zeros(BlockQuantization.BlockSize), codes, scales);
        Assert.True((quantization.Decode(codes, scales) == 0).all().item<bool>());
    }

    [Fact]
    public void The_states_take_two_bytes_per_parameter_and_eight_per_block()
    {
        var parameter = nn.Parameter(randn(64, 256));
        using var optimizer = new AdamW8bit([parameter]);
        parameter.grad = randn_like(parameter);
        optimizer.step();
        var bytes = optimizer.StateOf(parameter).Where(item => item.Key != "step").Sum(item => item.Value.numel() * item.Value.element_size());
        Assert.Equal((2 * 64 * 256) + (8 * 64), bytes);
    }

    [Fact]
    public void Small_parameters_are_updated_exactly()
    {
        var one = new OptimizerCase();
        using var optimizer = new AdamW8bit(one.Parameters, 0.05, weight_decay: 0.1);
        for (var step = 0; step < 5; step++)
        {
            var gradients = one.NextGradients();
            optimizer.step();
            for (var i = 0; i < gradients.Length; i++) Formulas.Adam(one.Expected[i], gradients[i]!, true, 0.05, 0.9, 0.999, 1e-8, 0.1);
        }

        one.Check(2e-6);
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void It_learns_what_exact_states_learn(ScalarType dtype)
    {
        var exact = Train(parameters => optim.AdamW(parameters, 0.01), ScalarType.Float32);
        var eight = Train(parameters => new AdamW8bit(parameters, 0.01, minSize: 256), dtype);
        Assert.InRange(exact, 0, 0.02);
        Assert.InRange(eight, 0, dtype == ScalarType.Float32 ? exact + 0.002 : exact + 0.01);
    }

    /// <summary>The loss at the end of a small regression.</summary>
    private static float Train(Func<IEnumerable<Parameter>, OptimizerHelper> create, ScalarType dtype)
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(3);
        var inputs = randn([256, 16], generator: generator);
        var targets = (inputs.narrow(1, 0, 1) * inputs.narrow(1, 1, 1)).tanh();
        var (first, second) = (nn.Parameter((randn([16, 64], generator: generator) / 4).to(dtype)), nn.Parameter((randn([64, 1], generator: generator) / 8).to(dtype)));
        using var optimizer = create([first, second]);
        var loss = 0f;
        for (var step = 0; step < 300; step++)
        {
            using var inner = NewDisposeScope();
            optimizer.zero_grad();
            var error = (inputs.matmul(first.to(ScalarType.Float32)).tanh().matmul(second.to(ScalarType.Float32)) - targets).square().mean();
            error.backward();
            optimizer.step();
            loss = error.item<float>();
        }

        return loss;
    }
}

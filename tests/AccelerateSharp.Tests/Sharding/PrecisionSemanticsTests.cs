using AccelerateSharp.Tests.Interop;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.Sharding;

/// <summary>Which dtype a sharded model is stored, computed, reduced and optimized in.</summary>
/// <remarks>The engine is the same on one process, where nothing is divided.</remarks>
[Collection(ProcessWideCounters.Name)]
public class PrecisionSemanticsTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData(ScalarType.Float32, MixedPrecision.No, ScalarType.Float32, ScalarType.Float32, ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16, MixedPrecision.No, ScalarType.BFloat16, ScalarType.BFloat16, ScalarType.BFloat16)]
    [InlineData(ScalarType.BFloat16, MixedPrecision.BF16, ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float32)]
    [InlineData(ScalarType.Float32, MixedPrecision.BF16, ScalarType.Float32, ScalarType.BFloat16, ScalarType.Float32)]
    [InlineData(ScalarType.Float32, MixedPrecision.FP16, ScalarType.Float32, ScalarType.Float16, ScalarType.Float32)]
    public void The_table_of_dtypes_holds(ScalarType weights, MixedPrecision precision, ScalarType shard, ScalarType compute, ScalarType optimized)
    {
        using var scope = NewDisposeScope();
        var accelerator = new Accelerator(cpu: true, mixedPrecision: precision, fsdpPlugin: new() { WrapWhere = static (_, module) => module is Watching },
            gradScaler: precision == MixedPrecision.FP16 ? new() { InitScale = 2 } : null);
        var watching = new Watching();
        var built = Sequential(watching, Linear(8, 1)).to(weights);
        var model = accelerator.Prepare(built);
        var optimizer = accelerator.Prepare(new FusedAdamW(model.parameters()));
        var loss = model.call(ones(2, 8).to(weights)).to(ScalarType.Float32).sum();
        accelerator.Backward(loss);
        optimizer.step();
        var parameter = model.parameters().First();
        var states = optimizer.StateOf((TorchSharp.Modules.Parameter)parameter).Where(item => item.Value.dim() > 0).Select(item => item.Value.dtype).Distinct().ToArray();
        output.WriteLine($"FSDP, {weights} model, mixed precision {precision}: shard {parameter.dtype}, compute {watching.Seen}, gradient {parameter.grad!.dtype}, optimizer {string.Join(", ", states)}");
        Assert.Equal((shard, compute), (parameter.dtype, watching.Seen));
        Assert.Equal(optimized, Assert.Single(states));
        Assert.Equal(optimized, parameter.grad!.dtype);
        accelerator.FreeMemory();
    }

    [Fact]
    public void A_policy_of_ones_own_decides()
    {
        using var scope = NewDisposeScope();
        var accelerator = new Accelerator(cpu: true, fsdpPlugin: new()
        {
            MixedPrecisionPolicy = new FsdpMixedPrecisionPolicy(ParamDtype: ScalarType.BFloat16, ReduceDtype: ScalarType.Float32, BufferDtype: ScalarType.Float64),
            WrapWhere = static (_, module) => module is Watching,
        });
        var watching = new Watching();
        var model = accelerator.Prepare(Sequential(watching, Linear(8, 1)));
        accelerator.Backward(model.call(ones(2, 8)).sum());
        Assert.Equal(ScalarType.BFloat16, watching.Seen);
        Assert.Equal(ScalarType.Float64, watching.buffers().First().dtype);
        Assert.Equal(ScalarType.Float32, accelerator.EngineOf(model)!.Units[1].Flats[0].ReduceDtype);
        accelerator.FreeMemory();
    }

    /// <summary>Notes the dtype of its weight while it computes.</summary>
    private sealed class Watching : Module<Tensor, Tensor>
    {
        private readonly TorchSharp.Modules.Linear _linear = Linear(8, 8);

        public Watching()
            : base(nameof(Watching))
        {
            register_buffer("scale", ones(1));
            RegisterComponents();
        }

        public ScalarType Seen { get; private set; }

        public override Tensor forward(Tensor input)
        {
            Seen = _linear.weight!.dtype;
            return _linear.call(input);
        }
    }
}

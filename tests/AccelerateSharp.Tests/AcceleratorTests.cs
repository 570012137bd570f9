using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests;

/// <summary>The accelerator in a job of one process.</summary>
[Collection("process state")]
public sealed class AcceleratorTests : IDisposable
{
    private readonly List<Accelerator> _accelerators = [];

    public void Dispose()
    {
        foreach (var accelerator in _accelerators) accelerator.EndTraining();
    }

    [Fact]
    public void One_process_is_the_main_the_local_main_and_the_last_one()
    {
        var accelerator = Create();
        Assert.Equal(DistributedType.No, accelerator.DistributedType);
        Assert.Equal(1, accelerator.NumProcesses);
        Assert.True(accelerator.IsMainProcess && accelerator.IsLocalMainProcess && accelerator.IsLastProcess);
        Assert.False(accelerator.UseDistributed);
        Assert.Null(accelerator.ProcessGroup);
        Assert.Equal(3, accelerator.OnMainProcess(() => 3));
        Assert.Throws<ArgumentOutOfRangeException>(() => accelerator.OnProcess(1, () => { }));
    }

    [Fact]
    public void Prepared_variables_keep_their_types_and_pass_what_is_not_theirs()
    {
        var accelerator = Create();
        using var linear = nn.Linear(2, 2);
        using var adam = optim.AdamW(linear.parameters());
        var constant = optim.lr_scheduler.ConstantLR(adam);
        (Linear model, AdamW optimizer, optim.lr_scheduler.LRScheduler scheduler, object? nothing, string text) =
            accelerator.Prepare(linear, adam, constant, (object?)null, "text");
        Assert.Same(linear, model);
        Assert.Same(adam, optimizer);
        Assert.NotSame(constant, scheduler);
        Assert.Same(scheduler, accelerator.Prepare(scheduler));
        Assert.Null(nothing);
        Assert.Equal("text", text);
    }

    // The reference's table: number of steps, batches per epoch, then (step, sync) for each batch of two epochs.
    [Theory]
    [InlineData(2, 5, "FTFTT FTFTT")]
    [InlineData(4, 10, "FFFTFFFTFT FFFTFFFTFT")]
    [InlineData(3, 3, "FFT FFT")]
    [InlineData(4, 3, "FFT FFT")]
    public void Accumulation_synchronises_at_the_end_of_each_window_and_of_each_loader(int steps, int batches, string expected)
    {
        var accelerator = Create(steps);
        var loader = accelerator.Prepare(BatchLoader.FromTensors(arange(batches), arange(batches), batchSize: 1));
        Assert.Equal(expected, string.Join(' ', Enumerable.Range(0, 2).Select(_ => Epoch())));

        string Epoch()
        {
            var flags = "";
            foreach (var _ in loader)
            {
                using var window = accelerator.Accumulate();
                flags += accelerator.SyncGradients ? 'T' : 'F';
            }

            return flags;
        }
    }

    [Fact]
    public void Accumulation_can_run_across_the_end_of_a_loader()
    {
        var accelerator = new Accelerator(cpu: true, gradientAccumulationPlugin: new() { NumSteps = 2, SyncWithDataLoader = false });
        _accelerators.Add(accelerator);
        var loader = accelerator.Prepare(BatchLoader.FromTensors(arange(5), arange(5), batchSize: 1));
        var flags = "";
        for (var epoch = 0; epoch < 2; epoch++)
        {
            foreach (var _ in loader)
            {
                using var window = accelerator.Accumulate();
                flags += accelerator.SyncGradients ? 'T' : 'F';
            }
        }

        Assert.Equal("FTFTFTFTFT", flags);
    }

    [Fact]
    public void Inside_a_window_the_optimizer_neither_steps_nor_clears()
    {
        var accelerator = Create(steps: 3);
        using var linear = nn.Linear(3, 1);
        using var adam = optim.AdamW(linear.parameters(), lr: 0.1);
        var (model, optimizer) = accelerator.Prepare(linear, adam);
        using var before = model.weight!.detach().clone();
        using var input = randn(4, 3);
        using var expected = ExpectedGradient(model, input);
        for (var i = 0; i < 3; i++)
        {
            using var window = accelerator.Accumulate(model);
            using var loss = model.call(input).pow(2).mean();
            accelerator.Backward(loss);
            if (accelerator.SyncGradients) Assert.True(model.weight!.grad!.allclose(expected, rtol: 1e-5, atol: 1e-6));
            else Assert.Null(model.weight!.grad);
            optimizer.step();
            optimizer.zero_grad();
            Assert.Equal(!accelerator.SyncGradients, model.weight.detach().equal(before).all().item<bool>());
        }
    }

    [Fact]
    public void Clipping_gives_the_norm_before_and_scales_to_the_limit()
    {
        var accelerator = Create();
        using var linear = nn.Linear(3, 2, hasBias: false);
        linear.weight!.grad = full_like(linear.weight, 2);
        using var norm = accelerator.ClipGradNorm(linear.parameters(), maxNorm: 1);
        Assert.Equal(Math.Sqrt(6 * 4), norm.item<float>(), 4);
        Assert.Equal(1.0, linear.weight.grad!.norm().item<float>(), 4);
        using var largest = accelerator.ClipGradNorm(linear.parameters(), maxNorm: 10, normType: double.PositiveInfinity);
        Assert.Equal(1 / Math.Sqrt(6), largest.item<float>(), 4);
        accelerator.ClipGradValue(linear.parameters(), 0.1);
        Assert.Equal(0.1f, linear.weight.grad!.abs().max().item<float>(), 4);
        Assert.Throws<ArgumentOutOfRangeException>(() => accelerator.ClipGradValue(linear.parameters(), 0));
    }

    [Fact]
    public void A_model_that_is_spread_by_a_device_map_is_taken_for_evaluation_alone()
    {
        var accelerator = Create();
        using var model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2));
        BigModeling.CpuOffload(model, CPU);
        Assert.Contains("cannot be trained", Assert.Throws<InvalidOperationException>(() => accelerator.Prepare(model)).Message);
        accelerator.PrepareModel(model, evaluationMode: true);
        using (no_grad()) Assert.Equal([1L, 2], model.call(ones(1, 2)).shape);
        Assert.True(model.parameters().First().is_meta);
    }

    [Fact]
    public void Contradictory_or_impossible_settings_are_refused()
    {
        Assert.Throws<ArgumentException>(() => new Accelerator(cpu: true, gradientAccumulationSteps: 2, gradientAccumulationPlugin: new()));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Accelerator(cpu: true, gradientAccumulationSteps: 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Accelerator(cpu: true, distributedDataParallel: new() { BucketCapMb = 0 }));
        var accelerator = Create();
        Assert.Throws<ArgumentException>(() => accelerator.Reduce(ones(1), "average"));
        using var linear = nn.Linear(1, 1);
        using var adam = optim.SGD(linear.parameters(), 0.1);
        var concrete = (optim.lr_scheduler.impl.StepLR)optim.lr_scheduler.StepLR(adam, 1);
        Assert.Contains("LRScheduler", Assert.Throws<ArgumentException>(() => accelerator.Prepare(concrete)).Message, StringComparison.Ordinal);
    }

    private Accelerator Create(int steps = 1)
    {
        var accelerator = new Accelerator(cpu: true, gradientAccumulationSteps: steps);
        _accelerators.Add(accelerator);
        return accelerator;
    }

    private static Tensor ExpectedGradient(Linear model, Tensor input)
    {
        using var loss = model.call(input).pow(2).mean();
        loss.backward();
        var gradient = model.weight!.grad!;
        model.weight.grad = null;
        model.bias!.grad = null;
        return gradient;
    }
}

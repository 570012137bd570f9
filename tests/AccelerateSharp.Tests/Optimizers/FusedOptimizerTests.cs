using AccelerateSharp.Optimizers;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Optimizers;

/// <summary>What all optimizers share: groups, schedulers, state, saving, overflow.</summary>
public sealed class FusedOptimizerTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public static TheoryData<string> Names => ["FusedAdamW", "FusedAdam", "FusedSGD", "Lion", "Adafactor", "AdamW8bit"];

    public void Dispose() => _scope.Dispose();

    [Theory]
    [MemberData(nameof(Names))]
    public void State_is_made_by_the_first_gradient_and_survives_dispose_scopes(string name)
    {
        var one = new OptimizerCase();
        using var optimizer = Create(name, one.Parameters);
        Assert.All(one.Parameters, parameter => Assert.Empty(optimizer.StateOf(parameter)));
        using (NewDisposeScope())
        {
            one.NextGradients(2);
            optimizer.step();
        }

        Assert.Empty(optimizer.StateOf(one.Parameters[2]));
        Assert.NotEmpty(optimizer.StateOf(one.Parameters[0]));
        one.NextGradients();
        optimizer.step();
        Assert.All(optimizer.StateOf(one.Parameters[0]).Values, tensor => Assert.False(tensor.IsInvalid || tensor.requires_grad));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_saved_run_goes_on_exactly(string name)
    {
        var one = new OptimizerCase();
        using var optimizer = Create(name, one.Parameters, lr: 0.02);
        for (var step = 0; step < 3; step++) Step(optimizer, one);
        using var file = new MemoryStream();
        optimizer.save_state_dict(new BinaryWriter(file));
        file.Position = 0;
        var (fromFile, fromMemory) = (one.Twins(), one.Twins());
        using var loaded = Create(name, fromFile, lr: 0.5);
        loaded.load_state_dict(new BinaryReader(file));
        using var copied = Create(name, fromMemory, lr: 0.5);
        copied.load_state_dict(optimizer.state_dict());
        for (var step = 0; step < 3; step++)
        {
            one.NextGradients(step);
            foreach (var twins in new[] { fromFile, fromMemory })
                foreach (var (twin, parameter) in twins.Zip(one.Parameters)) twin.grad = parameter.grad;
            foreach (var each in new[] { optimizer, loaded, copied }) each.step();
        }

        for (var i = 0; i < one.Parameters.Count; i++)
        {
            Assert.True(one.Parameters[i].equal(fromFile[i]).all().item<bool>());
            Assert.True(one.Parameters[i].equal(fromMemory[i]).all().item<bool>());
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Schedulers_set_the_rate_of_each_group(string name)
    {
        var one = new OptimizerCase();
        using var optimizer = Create(name, one.Parameters[..2], lr: 0.1);
        optimizer.add_param_group(Group(name, one.Parameters[2..], lr: 0.4));
        var scheduler = optim.lr_scheduler.StepLR(optimizer, 1, 0.5);
        scheduler.step();
        Assert.Equal([0.05, 0.2], optimizer.ParamGroups.Select(group => group.LearningRate));
        var before = one.Parameters.ConvertAll(parameter => parameter.detach().clone());
        foreach (var group in optimizer.ParamGroups.Take(1)) group.LearningRate = 0;
        one.NextGradients();
        optimizer.step();
        for (var i = 0; i < before.Count; i++) Assert.Equal(i < 2, before[i].equal(one.Parameters[i]).all().item<bool>());
    }

    [Fact]
    public void One_cycle_moves_the_betas_and_the_momentum()
    {
        var one = new OptimizerCase();
        using var adam = new FusedAdamW(one.Parameters);
        using var sgd = new FusedSGD(one.Parameters, 0.1, momentum: 0.9);
        var schedulers = new[] { optim.lr_scheduler.OneCycleLR(adam, 1, 10), optim.lr_scheduler.OneCycleLR(sgd, 1, 10) };
        foreach (var scheduler in schedulers) scheduler.step();
        Assert.Equal(((SGD.ParamGroup)sgd.ParamGroups.Single()).Momentum, ((AdamW.ParamGroup)adam.ParamGroups.Single()).Betas.Item1);
        Assert.InRange(((SGD.ParamGroup)sgd.ParamGroups.Single()).Momentum, 0.85, 0.949);
    }

    [Fact]
    public void Groups_take_what_they_leave_open_from_the_optimizer()
    {
        var one = new OptimizerCase();
        var own = new AdamW.ParamGroup([one.Parameters[0]], new AdamW.Options { LearningRate = 0.3, weight_decay = 0.2 });
        var rest = new AdamW.ParamGroup { Parameters = one.Parameters[1..] };
        using var optimizer = new FusedAdamW([own, rest], lr: 0.01, beta2: 0.95, weight_decay: 0.1);
        Assert.Equal((0.3, 0.2, 0.95), (own.LearningRate, own.Options.weight_decay!.Value, own.Options.beta2!.Value));
        Assert.Equal((0.01, 0.1, 0.95), (rest.LearningRate, rest.Options.weight_decay!.Value, rest.Options.beta2!.Value));
        var gradients = one.NextGradients();
        optimizer.step();
        for (var i = 0; i < 4; i++)
            Formulas.Adam(one.Expected[i], gradients[i]!, true, i == 0 ? 0.3 : 0.01, 0.9, 0.95, 1e-8, i == 0 ? 0.2 : 0.1);
        one.Check(2e-6);
    }

    [Theory]
    [InlineData(0f, 1024f)]
    [InlineData(1f, 1024f)]
    public void The_kernels_divide_by_the_scale_and_skip_a_step_after_an_overflow(float overflow, float scale)
    {
        foreach (var (name, stateDtype) in new (string, ScalarType?)[] { ("FusedAdamW", null), ("FusedAdam", null), ("FusedSGD", null), ("FusedAdamW", ScalarType.Float64) })
        {
            var one = new OptimizerCase();
            var twins = one.Twins();
            using var optimizer = Create(name, one.Parameters, stateDtype: stateDtype);
            using var twin = Create(name, twins, stateDtype: stateDtype);
            for (var step = 0; step < 3; step++)
            {
                one.NextGradients();
                var skips = overflow == 1 && step == 1;
                for (var i = 0; i < twins.Count; i++) twins[i].grad = skips ? null : one.Parameters[i].grad!.clone();
                foreach (var parameter in one.Parameters) parameter.grad = parameter.grad! * scale;
                var scaled = (IScaledOptimizer)optimizer;
                (scaled.GradScale, scaled.FoundInf) = (tensor(scale), tensor(skips ? 1f : 0f));
                optimizer.step();
                (scaled.GradScale, scaled.FoundInf) = (null, null);
                twin.step();
            }

            foreach (var (left, right) in one.Parameters.Zip(twins)) Assert.True(left.allclose(right, 1e-6, 1e-7));
            if (name != "FusedSGD") Assert.Equal(overflow == 1 ? 2 : 3, optimizer.StateOf(one.Parameters[0])["step"].item<float>());
        }
    }

    [Fact]
    public void State_follows_the_parameter_object_and_not_its_native_handle()
    {
        var one = new OptimizerCase();
        using var optimizer = new FusedAdamW(one.Parameters);
        Step(optimizer, one);
        ref var handle = ref Internal.Interop.TensorHandles.Field(one.Parameters[0]);
        var old = handle;
        handle = Internal.Interop.TensorHandles.Duplicate(handle);
        Internal.Interop.TensorHandles.Release(old);
        Step(optimizer, one);
        Assert.Equal(2, optimizer.StateOf(one.Parameters[0])["step"].item<float>());
        Assert.Equal(4, optimizer.state_dict().State.Count);
    }

    [Fact]
    public void Zero_grad_drops_the_gradients_and_a_step_without_any_does_nothing()
    {
        var one = new OptimizerCase();
        using var optimizer = new FusedAdamW(one.Parameters, weight_decay: 0.5);
        one.NextGradients();
        optimizer.zero_grad();
        Assert.All(one.Parameters, parameter => Assert.Null(parameter.grad));
        Assert.Null(optimizer.step());
        one.Check(1e-7);
    }

    [Fact]
    public void A_closure_computes_with_gradients_and_its_loss_is_returned()
    {
        var one = new OptimizerCase();
        using var optimizer = new FusedSGD(one.Parameters, 0.1);
        var loss = optimizer.step(() =>
        {
            var sum = one.Parameters.Select(parameter => parameter.square().sum()).Aggregate((left, right) => left + right);
            sum.backward();
            return sum;
        });
        Assert.True(loss.item<float>() > 0);
        foreach (var weights in one.Expected)
            for (var i = 0; i < weights.Values.Length; i++) weights.Values[i] *= 0.8;
        one.Check(1e-6);
    }

    [Fact]
    public void Mistakes_are_named()
    {
        var one = new OptimizerCase();
        Assert.Contains("given twice", Assert.Throws<ArgumentException>(() => new FusedAdamW([one.Parameters[0], one.Parameters[0]])).Message);
        Assert.Contains("beta1", Assert.Throws<ArgumentOutOfRangeException>(() => new Lion(one.Parameters, beta1: 1)).Message);
        Assert.Contains("nesterov", Assert.Throws<ArgumentException>(() => new FusedSGD(one.Parameters, 0.1, nesterov: true)).Message);
        Assert.Contains("amsgrad", Assert.Throws<NotSupportedException>(() => new AdamW8bit([new AdamW.ParamGroup(one.Parameters, amsgrad: true)])).Message);
        using var optimizer = new FusedAdamW(one.Parameters);
        Assert.Contains("AdamW.Options", Assert.Throws<ArgumentException>(() => optimizer.add_param_group(new SGD.ParamGroup([nn.Parameter(ones(2))], lr: 1))).Message);
        Assert.Throws<ArgumentException>(() => optimizer.StateOf(nn.Parameter(ones(2))));
        var embedding = nn.Embedding(4, 2, sparse: true);
        using var sparse = new FusedAdamW(embedding.parameters());
        embedding.call(tensor(new long[] { 1 })).sum().backward();
        Assert.Contains("sparse: false", Assert.Throws<NotSupportedException>(() => sparse.step()).Message);
    }

    [Fact]
    public void The_advice_names_the_twin_once_and_not_for_small_models()
    {
        Assert.Null(FusedTwin.Advise(optim.AdamW([nn.Parameter(zeros(10))])));
        Assert.Null(FusedTwin.Advise(new FusedAdamW([nn.Parameter(zeros(2_000_000))])));
        var large = optim.AdamW([nn.Parameter(zeros(2_000_000))]);
        Assert.Contains("FusedAdamW", FusedTwin.Advise(large));
        Assert.Null(FusedTwin.Advise(large));
    }

    private static void Step(FusedOptimizer optimizer, OptimizerCase one)
    {
        one.NextGradients();
        optimizer.step();
    }

    private static FusedOptimizer Create(string name, IEnumerable<Parameter> parameters, double lr = 0.05, ScalarType? stateDtype = null) => name switch
    {
        "FusedAdamW" => new FusedAdamW(parameters, lr, stateDtype: stateDtype),
        "FusedAdam" => new FusedAdam(parameters, lr, stateDtype: stateDtype),
        "FusedSGD" => new FusedSGD(parameters, lr, momentum: 0.9, stateDtype: stateDtype),
        "Lion" => new Lion(parameters, lr),
        "Adafactor" => new Adafactor(parameters, lr),
        "AdamW8bit" => new AdamW8bit(parameters, lr, minSize: 8),
        _ => throw new ArgumentException(name),
    };

    private static ParamGroup Group(string name, IEnumerable<Parameter> parameters, double lr) => name switch
    {
        "FusedAdamW" or "AdamW8bit" => new AdamW.ParamGroup(parameters, new AdamW.Options { LearningRate = lr }),
        "FusedAdam" => new Adam.ParamGroup(parameters, new Adam.Options { LearningRate = lr }),
        "FusedSGD" => new SGD.ParamGroup(parameters, new SGD.Options { LearningRate = lr }),
        "Lion" => new Lion.ParamGroup(parameters, new Lion.Options { LearningRate = lr }),
        "Adafactor" => new Adafactor.ParamGroup(parameters, new Adafactor.Options { LearningRate = lr }),
        _ => throw new ArgumentException(name),
    };
}

using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.BigModel;

/// <summary>Hooks on modules: what they may change, how they follow each other, and that nothing is left of them.</summary>
public sealed class ModelHookTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly ModelForTest _model = new();
    private readonly Tensor _input = randn(2, 3);

    public ModelHookTests() => _model.eval();

    public void Dispose() => _scope.Dispose();

    [Fact]
    public void A_hook_replaces_the_one_before_unless_it_is_appended()
    {
        var (once, twice) = (_model.call(_input + 1), _model.call(_input + 1 + 1));
        ModelHooks.AddHookToModule(_model, new Add(before: 1));
        ModelHooks.AddHookToModule(_model, new Add(before: 1));
        AssertSame(once, _model.call(_input));
        ModelHooks.AddHookToModule(_model, new Add(before: 1), append: true);
        AssertSame(twice, _model.call(_input));
        Assert.Equal(2, Assert.IsType<SequentialHook>(ModelHooks.GetHook(_model)).Hooks.Count);
        ModelHooks.RemoveHookFromModule(_model);
        Assert.Null(ModelHooks.GetHook(_model));
        AssertSame(_model.forward(_input), _model.call(_input));
    }

    [Fact]
    public void Results_are_changed_in_the_order_of_the_hooks()
    {
        var plain = _model.call(_input);
        ModelHooks.AddHookToModule(_model, new SequentialHook(new Add(after: 1), new Double()));
        AssertSame((plain + 1) * 2, _model.call(_input));
        // A sequence within a sequence counts as its parts.
        ModelHooks.AddHookToModule(_model, new Add(after: 3), append: true);
        AssertSame((plain + 1) * 2 + 3, _model.call(_input));
    }

    [Fact]
    public void A_hook_can_switch_gradients_off_for_its_module_alone_also_where_it_throws()
    {
        ModelHooks.AddHookToModule(_model.linear1, new Add(noGrad: true));
        Assert.False(_model.linear1.call(_input).requires_grad);
        Assert.True(is_grad_enabled());
        Assert.True(_model.call(_input).requires_grad);
        Assert.ThrowsAny<Exception>(() => _model.linear1.call(randn(2, 7)));
        Assert.True(is_grad_enabled());
    }

    [Fact]
    public void Hooks_hear_of_their_beginning_their_end_and_of_forwards_that_throw()
    {
        var hook = new Listening();
        ModelHooks.AddHookToModule(_model.linear1, hook);
        _model.call(_input);
        Assert.ThrowsAny<Exception>(() => _model.call(randn(2, 7)));
        ModelHooks.RemoveHookFromModule(_model, recurse: true);
        Assert.Equal(["init", "pre", "post", "pre", "abandon", "detach"], hook.Heard);
        Assert.Null(ModelHooks.GetHook(_model.linear1));
        Assert.Contains("cannot be called", Assert.Throws<ArgumentException>(() => ModelHooks.AddHookToModule(new ModuleList<Linear>(), hook)).Message);
    }

    [Fact]
    public void Weights_are_offloaded_from_a_module_and_come_from_a_map()
    {
        var expected = _model.call(_input);
        var weights = _model.linear1.state_dict().ToDictionary(entry => entry.Key, entry => entry.Value.clone());
        ModelHooks.AddHookToModule(_model.linear1, new AlignDevicesHook(CPU, offload: true, weightsMap: weights));
        ModelHooks.AddHookToModule(_model.batchnorm, new AlignDevicesHook(CPU, offload: true));
        ModelHooks.AddHookToModule(_model.linear2, new AlignDevicesHook(CPU, offload: true, offloadBuffers: true));
        Assert.True(_model.linear1.weight.is_meta && _model.batchnorm.weight!.is_meta && ModelHooks.HasOffloadedParams(_model));
        Assert.False(_model.batchnorm.running_mean!.is_meta);
        AssertSame(expected, _model.call(_input));
        Assert.True(_model.linear1.weight.is_meta);

        using (ModelHooks.AlignModuleDevice(_model.linear1)) AssertSame(weights["weight"], _model.linear1.weight);
        Assert.True(_model.linear1.weight.is_meta);
        Assert.ThrowsAny<Exception>(() => _model.call(randn(2, 7)));
        Assert.True(_model.linear1.weight.is_meta);
        var state = BigModeling.GetStateDictOffloadedModel(_model);
        AssertSame(weights["bias"], state["linear1.bias"]);
        ModelHooks.RemoveHookFromModule(_model, recurse: true);
        Assert.All(_model.parameters(), parameter => Assert.False(parameter.is_meta));
        AssertSame(expected, _model.call(_input));

        Assert.Contains("'weight'", Assert.Throws<ArgumentException>(() => ModelHooks.AddHookToModule(_model.linear1, new AlignDevicesHook(CPU, offload: true, weightsMap: new Dictionary<string, Tensor>()))).Message);
    }

    [Fact]
    public void A_module_is_aligned_to_a_device_for_a_time()
    {
        using (ModelHooks.AlignModuleDevice(_model.linear1, META)) Assert.True(_model.linear1.weight.is_meta && !_model.linear2.weight.is_meta);
        Assert.False(_model.linear1.weight.is_meta);
        BigModeling.CpuOffload(_model, CPU);
        using (ModelHooks.AlignModuleDevice(_model.linear2)) Assert.False(_model.linear2.weight.is_meta);
        Assert.True(_model.linear2.weight.is_meta);
    }

    [Fact]
    public void Layers_keep_a_small_dtype_and_compute_in_another()
    {
        var model = Sequential(("in", Linear(8, 8)), ("norm", LayerNorm(8)), ("proj_out", Linear(8, 8)), ("conv", Conv1d(1, 1, 1)));
        var input = randn(2, 1, 8);
        var weight = ((Linear)model[0]).weight.detach().clone();
        BigModeling.AttachLayerwiseCastingHooks(model, (ScalarType)24, ScalarType.BFloat16, skipModulesPattern: ["proj_"], skipModulesClasses: [nameof(LayerNorm)]);
        var dtypes = model.named_parameters().ToDictionary(entry => entry.name, entry => entry.parameter.dtype);
        Assert.Equal(((ScalarType)24, ScalarType.Float32, ScalarType.Float32, (ScalarType)24), (dtypes["in.weight"], dtypes["norm.weight"], dtypes["proj_out.weight"], dtypes["conv.bias"]));
        var first = (Module<Tensor, Tensor>)model[0];
        Assert.Equal(ScalarType.BFloat16, first.call(input.to(ScalarType.BFloat16)).dtype);
        Assert.ThrowsAny<Exception>(() => first.call(input));
        Assert.Equal((ScalarType)24, ((Linear)model[0]).weight.dtype);
        ModelHooks.RemoveHookFromModule(model, recurse: true);
        Assert.All(model.parameters(), parameter => Assert.Equal(ScalarType.Float32, parameter.dtype));
        AssertSame(weight.to((ScalarType)24).to(ScalarType.Float32), ((Linear)model[0]).weight);
        Assert.Equal([2L, 1, 8], model.call(input).shape);
    }

    [Fact]
    public void A_chain_of_models_makes_room_for_the_next()
    {
        var second = new ModelForTest();
        var expected = _model.call(_input);
        var (first, hook) = BigModeling.CpuOffloadWithHook(_model, CPU);
        var (_, next) = BigModeling.CpuOffloadWithHook(second, CPU, hook);
        AssertSame(expected, first.call(_input));
        second.call(_input);
        hook.Offload();
        next.Remove();
        Assert.Null(ModelHooks.GetHook(second));
        Assert.Equal(CPU, Assert.IsType<CpuOffloadHook>(ModelHooks.GetHook(first)).ExecutionDevice);
    }

    private static void AssertSame(Tensor expected, Tensor actual) => Assert.True(expected.equal(actual).all().item<bool>());

    private sealed class Add(int before = 0, int after = 0, bool noGrad = false) : ModelHook(noGrad)
    {
        public override object?[] PreForward(Module module, object?[] arguments) => before == 0 ? arguments : [(Tensor)arguments[0]! + before];

        public override object? PostForward(Module module, object? result) => after == 0 ? result : (Tensor)result! + after;
    }

    private sealed class Double : ModelHook
    {
        public override object? PostForward(Module module, object? result) => (Tensor)result! * 2;
    }

    private sealed class Listening : ModelHook
    {
        public List<string> Heard { get; } = [];

        public override void InitHook(Module module) => Heard.Add("init");

        public override object?[] PreForward(Module module, object?[] arguments)
        {
            Heard.Add("pre");
            return arguments;
        }

        public override object? PostForward(Module module, object? result)
        {
            Heard.Add("post");
            return result;
        }

        public override void AbandonForward(Module module) => Heard.Add("abandon");

        public override void DetachHook(Module module) => Heard.Add("detach");
    }
}

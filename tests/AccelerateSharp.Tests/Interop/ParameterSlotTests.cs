using AccelerateSharp.Internal.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Interop;

[Collection(ProcessWideCounters.Name)]
public sealed class ParameterSlotTests
{
    private const int Steps = 3;

    public static TheoryData<string> Cases => [.. SlotCases.All.Keys];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Training_through_swapped_parameters_is_bit_equal(string name)
    {
        var (expectedGradients, expectedParameters) = Train(name, swap: false);
        var (gradients, parameters) = Train(name, swap: true);
        Assert.NotEmpty(expectedGradients);
        Assert.Equal(expectedGradients, gradients);
        Assert.Equal(expectedParameters, parameters);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_parameter_is_found_once_and_says_whether_it_can_be_swapped(string name)
    {
        using var scope = NewDisposeScope();
        var model = SlotCases.All[name].Create();
        var slots = ParameterSlots.Of(model.Module);
        Assert.All(slots, slot => Assert.Equal(SlotCases.All[name].CanSwap, slot.CanSwap));
        Assert.All(slots, slot => Assert.Equal(slot.CanSwap, slot.Obstacle is null));
        Assert.Equal(slots.Count, slots.Select(slot => TensorHandles.Identity(slot.Parameter)).Distinct().Count());
        Assert.Subset(slots.SelectMany(slot => slot.Names).ToHashSet(), model.Module.named_parameters().Select(named => named.name).ToHashSet());
    }

    [Fact]
    public void Tied_weights_are_one_parameter_with_all_their_names()
    {
        using var scope = NewDisposeScope();
        var byObject = ParameterSlots.Of(new SlotCases.TiedObject());
        Assert.Equal(["encode.weight", "decode.weight"], byObject.Single(slot => slot.Name == "encode.weight").Names);
        Assert.Equal(3, byObject.Count);
        var byTensor = Assert.Single(ParameterSlots.Of(new SlotCases.TiedEmbedding()));
        Assert.Equal(["tokens.weight", "head.weight"], byTensor.Names);
    }

    [Fact]
    public void The_leaf_comes_back_in_any_order_and_after_the_alias_was_disposed()
    {
        using var scope = NewDisposeScope();
        var model = new SlotCases.TiedEmbedding();
        var linear = nn.Linear(4, 4);
        ParameterSlot[] slots = [.. ParameterSlots.Of(model), .. ParameterSlots.Of(linear)];
        var handles = slots.Select(slot => slot.Parameter.Handle).ToArray();
        var before = slots.Select(slot => slot.Parameter.detach().clone()).ToArray();
        foreach (var slot in slots)
        {
            using var alias = slot.Parameter.detach().clone().fill_(2);
            slot.SwapIn(alias);
            Assert.True(slot.IsSwapped);
        }
        Assert.Equal(2f, linear.weight.mean().item<float>());
        Assert.Equal(2f, model.call(tensor(new long[] { 1, 2 })).isfinite().all().item<bool>() ? linear.bias!.mean().item<float>() : float.NaN);
        foreach (var slot in slots.Reverse()) slot.SwapBack();

        Assert.All(slots, slot => Assert.False(slot.IsSwapped));
        Assert.Equal(handles, slots.Select(slot => slot.Parameter.Handle));
        for (var i = 0; i < slots.Length; i++) Assert.True(before[i].Equals(slots[i].Parameter));
        slots[0].SwapBack();
        Assert.Equal(handles[0], slots[0].Parameter.Handle);
    }

    [Fact]
    public void The_modules_compute_with_what_is_swapped_in()
    {
        using var scope = NewDisposeScope();
        var embedding = nn.Embedding(3, 2);
        var slot = Assert.Single(ParameterSlots.Of(embedding));
        var original = embedding.call(tensor(1L));
        slot.SwapIn(zeros(3, 2));
        Assert.Equal(0f, embedding.call(tensor(1L)).abs().sum().item<float>());
        Assert.Equal(0f, embedding.weight!.abs().sum().item<float>());
        slot.SwapBack();
        Assert.True(original.Equals(embedding.call(tensor(1L))));
        Assert.True(embedding.weight!.is_leaf);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_pretrained_embedding_keeps_its_weights_although_another_parameter_is_registered(bool freeze)
    {
        using var scope = NewDisposeScope();
        var weights = randn(3, 2);
        var expected = weights.clone();
        var embedding = nn.Embedding_from_pretrained(weights, freeze);
        var slots = ParameterSlots.Of(embedding);
        Assert.Equal(freeze ? ["weight"] : ["weight", "weight (not registered)"], slots.Select(slot => slot.Name));
        foreach (var slot in slots)
        {
            Assert.True(slot.CanSwap);
            slot.SwapIn(slot.Parameter.detach());
        }
        Assert.True(expected.Equals(embedding.call(arange(3))));
        foreach (var slot in slots) slot.SwapBack();
        Assert.True(expected.Equals(embedding.call(arange(3))));
    }

    [Fact]
    public void Misuse_is_refused_by_name()
    {
        using var scope = NewDisposeScope();
        var slot = ParameterSlots.Of(nn.Sequential(("fc", nn.Linear(2, 2))))[0];
        slot.SwapIn(zeros(2, 2));
        Assert.Contains("fc.weight", Assert.Throws<InvalidOperationException>(() => slot.SwapIn(zeros(2, 2))).Message);
        slot.SwapBack();
        var lstm = ParameterSlots.Of(nn.LSTM(2, 2))[0];
        Assert.Contains("LSTM", Assert.Throws<InvalidOperationException>(() => lstm.SwapIn(zeros(2, 2))).Message);
    }

    [Fact]
    public void A_model_that_is_disposed_while_swapped_frees_everything_once()
    {
        var linear = nn.Linear(2, 2);
        var live = Tensor.TotalCount;
        var slots = ParameterSlots.Of(linear);
        foreach (var slot in slots)
        {
            using var alias = slot.Parameter.detach();
            slot.SwapIn(alias);
        }
        linear.Dispose();
        foreach (var slot in slots) slot.SwapBack();
        Assert.All(slots, slot => Assert.True(slot.Parameter.IsInvalid));
        Assert.Equal(live - 2, Tensor.TotalCount);
    }

    /// <summary>Three steps of SGD from a fixed seed. With swapping, gradients take the way over a node.</summary>
    private static (List<float[]> Gradients, List<float[]> Parameters) Train(string name, bool swap)
    {
        using var scope = NewDisposeScope();
        random.manual_seed(7);
        var errors = new BackwardErrors();
        var model = SlotCases.All[name].Create();
        var slots = ParameterSlots.Of(model.Module);
        // Some modules leave parameters as the allocator gave them.
        using (no_grad())
            foreach (var slot in slots) slot.Parameter.normal_(0, 0.5);
        var leaves = slots.Select(slot => slot.Parameter).ToArray();
        using var optimizer = optim.SGD(leaves, 0.1, momentum: 0.9);
        var gradients = new List<float[]>();
        for (var step = 0; step < Steps; step++)
        {
            using var stepScope = NewDisposeScope();
            optimizer.zero_grad();
            var swapped = swap ? slots.Where(slot => slot.CanSwap).ToArray() : [];
            foreach (var slot in swapped)
            {
                using var alias = slot.Parameter.detach();
                AutogradNode.Attach([slot.Parameter], [alias], g => g.PassOn(0, g[0]!), errors);
                slot.SwapIn(alias);
            }
            var loss = model.Loss();
            foreach (var slot in swapped) slot.SwapBack();
            loss.backward();
            errors.ThrowPending();
            foreach (var leaf in leaves.Where(leaf => leaf.requires_grad)) gradients.Add(leaf.grad!.data<float>().ToArray());
            optimizer.step();
        }
        return (gradients, [.. leaves.Select(leaf => leaf.data<float>().ToArray())]);
    }
}

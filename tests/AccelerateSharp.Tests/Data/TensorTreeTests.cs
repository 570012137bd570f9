using System.Text.Json.Nodes;
using AccelerateSharp.Data.Trees;
using TorchSharp;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Data;

public sealed class TensorTreeTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    private sealed record Tokens(Tensor Ids, Tensor? Mask, string Source, List<string> Texts);

    private struct Pair
    {
        public Tensor Left;
        public int Weight;
    }

    public static TheoryData<string> Forms =>
        ["tensor", "tuple", "tuple9", "reference tuple", "array", "list", "dictionary", "record", "struct", "nested", "object"];

    [Theory]
    [MemberData(nameof(Forms))]
    public void Mapping_keeps_containers_and_other_leaves(string form)
    {
        var value = Make(form);
        var mapped = TensorTree.Map(value, tensor => tensor + 1);
        Assert.Equal(value.GetType(), mapped.GetType());
        var before = TensorTree.Tensors(value);
        var after = TensorTree.Tensors(mapped);
        Assert.NotEmpty(before);
        Assert.Equal(before.Select(tensor => tensor.sum().item<float>() + tensor.numel()), after.Select(tensor => tensor.sum().item<float>()));
        // A map that changes nothing copies nothing.
        if (!value.GetType().IsValueType) Assert.Same(value, TensorTree.Map(value, tensor => tensor));
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void Slices_concatenate_to_the_whole(string form)
    {
        var value = Make(form);
        var joined = TensorTree.Concatenate([TensorTree.Slice(value, 0, 1), TensorTree.Slice(value, 1, 3)]);
        Assert.Equal(value.GetType(), joined.GetType());
        foreach (var (expected, actual) in TensorTree.Tensors(value).Zip(TensorTree.Tensors(joined)))
            Assert.True(expected.Equals(actual));
        Assert.Equal(4, TensorTree.FindBatchSize(joined));
    }

    [Fact]
    public void Plain_lists_follow_the_rows_and_dictionaries_keep_their_comparer()
    {
        var batch = new Tokens(arange(4), null, "wiki", ["a", "b", "c", "d"]);
        var slice = TensorTree.Slice(batch, 1, 2);
        Assert.Equal(["b", "c"], slice.Texts);
        Assert.Equal("wiki", slice.Source);
        Assert.Null(slice.Mask);
        Assert.Equal(["b", "c", "b", "c"], TensorTree.Concatenate([slice, slice]).Texts);

        var dictionary = new Dictionary<string, Tensor>(StringComparer.OrdinalIgnoreCase) { ["X"] = ones(2) };
        Assert.True(TensorTree.Map(dictionary, tensor => tensor * 2).ContainsKey("x"));
    }

    [Fact]
    public void Values_that_cannot_be_joined_are_named()
    {
        var error = Assert.Throws<ArgumentException>(() => TensorTree.Concatenate([(ones(1), 1), (ones(1), 2)]));
        Assert.Contains("Int32", error.Message, StringComparison.Ordinal);
        Assert.Equal("test", TensorTree.Concatenate(["test"]));
        Assert.Throws<ArgumentException>(() => TensorTree.Concatenate<Tensor[]>([[ones(1)], [ones(1), ones(1)]]));
    }

    [Fact]
    public void The_first_leaf_that_is_no_tensor_is_found()
    {
        Assert.True(TensorTree.TryFindOther((ones(1), 3), out var other));
        Assert.Equal(3, other);
        Assert.False(TensorTree.TryFindOther((ones(1), new[] { ones(2) }), out _));
        Assert.Null(TensorTree.FindDevice(new object[] { 1, "a" }));
        Assert.Equal(CPU.type, TensorTree.FindDevice(new object[] { 1, "a", ones(1) })!.type);
    }

    [Fact]
    public void A_structure_that_contains_itself_is_refused()
    {
        var list = new List<object>();
        list.Add(list);
        Assert.Throws<ArgumentException>(() => TensorTree.Tensors(list));
    }

    [Fact]
    public void A_description_rebuilds_the_form_elsewhere()
    {
        Check((ones(2, 3), zeros(2, ScalarType.Int64)));
        Check((ones(1), ones(2), ones(3), ones(4), ones(5), ones(6), ones(7), ones(8), "nine"));
        Check(new Tokens(arange(4), null, "wiki", ["a", "b"]));
        Check<IList<Tensor>>([ones(2), ones(3)]);
        Check(new Dictionary<string, Tensor> { ["input"] = ones(2), ["label"] = zeros(1) });
        Check<Tensor[]>([ones(2), ones(0, 3)]);
        Check((new[] { (ones(1), 2.5) }, new Pair { Left = ones(2), Weight = 7 }));
        Check(ones(2).to(ScalarType.BFloat16));

        static void Check<T>(T batch)
        {
            var sent = new List<Tensor>();
            var text = TensorTreeWire.Describe(batch, sent)?.ToJsonString();
            var received = new List<Tensor>();
            var built = TensorTreeWire.Build<T>(text is null ? null : JsonNode.Parse(text), CPU, received);
            foreach (var (to, from) in received.Zip(sent)) to.copy_(from);
            Assert.Equal(sent.Count, received.Count);
            var again = new List<Tensor>();
            Assert.Equal(text, TensorTreeWire.Describe(built, again)?.ToJsonString());
            foreach (var (expected, actual) in sent.Zip(again))
            {
                Assert.Equal(expected.dtype, actual.dtype);
                Assert.True(expected.Equals(actual));
            }
        }
    }

    [Fact]
    public void A_batch_without_a_declared_form_cannot_be_described()
    {
        var error = Assert.Throws<NotSupportedException>(() => TensorTreeWire.Describe<object>(new Pair { Left = ones(1) }, []));
        Assert.Contains("DispatchBatches", error.Message, StringComparison.Ordinal);
    }

    private static object Make(string form) => form switch
    {
        "tensor" => Rows(0),
        "tuple" => (Rows(0), Rows(1)),
        "tuple9" => (Rows(0), Rows(1), Rows(2), Rows(3), Rows(4), Rows(5), Rows(6), Rows(7), Rows(8)),
        "reference tuple" => Tuple.Create(Rows(0), "name"),
        "array" => new[] { Rows(0), Rows(1) },
        "list" => new List<Tensor> { Rows(0), Rows(1) },
        "dictionary" => new Dictionary<string, Tensor> { ["a"] = Rows(0), ["b"] = Rows(1) },
        "record" => new Tokens(Rows(0), Rows(1), "source", ["a", "b", "c", "d"]),
        "struct" => new Pair { Left = Rows(0), Weight = 3 },
        "nested" => (new List<(Tensor, Dictionary<string, Tensor[]>)> { (Rows(0), new() { ["x"] = [Rows(1)] }) }, 5),
        "object" => new object[] { Rows(0), 1, "text" },
        _ => throw new ArgumentOutOfRangeException(nameof(form)),
    };

    private static Tensor Rows(int from) => arange(from, from + 8, ScalarType.Float32).reshape(4, 2);
}

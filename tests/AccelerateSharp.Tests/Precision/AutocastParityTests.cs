using System.Text.Json;
using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;
using F = TorchSharp.torch.nn.functional;

namespace AccelerateSharp.Tests.Precision;

/// <summary>Under autocast every operator ends in the dtype that it has in PyTorch; benchmarks/autocast_dtypes.py wrote the table.</summary>
public sealed class AutocastParityTests : IDisposable
{
    private static readonly IReadOnlyDictionary<string, Func<Tensor, Tensor, Tensor>> _operators = new Dictionary<string, Func<Tensor, Tensor, Tensor>>
    {
        ["matmul"] = (a, b) => a.matmul(b),
        ["mm"] = (a, b) => a.mm(b),
        ["bmm"] = (a, b) => a.unsqueeze(0).bmm(b.unsqueeze(0)),
        ["mv"] = (a, b) => a.mv(b[0]),
        ["addmm"] = (a, b) => a.addmm(a, b, 1, 1),
        ["baddbmm"] = (a, b) => a.unsqueeze(0).baddbmm(a.unsqueeze(0), b.unsqueeze(0)),
        ["einsum"] = (a, b) => einsum("ij,jk->ik", a, b),
        ["linear"] = (a, b) => F.linear(a, b, b[0]),
        ["conv1d"] = (a, b) => F.conv1d(a.unsqueeze(0), b.unsqueeze(2)),
        ["conv2d"] = (a, b) => F.conv2d(a.view(1, 4, 2, 2), b.view(4, 4, 1, 1)),
        ["conv_transpose2d"] = (a, b) => F.conv_transpose2d(a.view(1, 4, 2, 2), b.view(4, 4, 1, 1)),
        ["scaled_dot_product_attention"] = (a, b) => F.scaled_dot_product_attention(a.view(1, 1, 4, 4), b.view(1, 1, 4, 4), b.view(1, 1, 4, 4)),
        ["prelu"] = Call("aten::prelu(Tensor self, Tensor weight) -> Tensor", (op, a, b) => op.CallForTensor(a, b[0].narrow(0, 0, 1))),
        // TorchSharp's own name the dtype of their input, which autocast on CUDA then leaves alone.
        ["softmax"] = Call("aten::softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor", (op, a, _) => op.CallForTensor(a, 1L)),
        ["log_softmax"] = Call("aten::log_softmax.int(Tensor self, int dim, ScalarType? dtype=None) -> Tensor", (op, a, _) => op.CallForTensor(a, 1L)),
        ["layer_norm"] = (a, b) => F.layer_norm(a, [4], b[0], b[1]),
        ["group_norm"] = (a, _) => F.group_norm(a.view(1, 4, 4), 2),
        ["batch_norm"] = (a, _) => F.batch_norm(a, zeros(4, device: a.device), ones(4, device: a.device)),
        ["rms_norm"] = Call("aten::rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight=None, float? eps=None) -> Tensor", (op, a, _) => op.CallForTensor(a, new[] { 4L })),
        ["cross_entropy"] = (a, _) => F.cross_entropy(a, zeros(4, int64, a.device)),
        ["nll_loss"] = (a, _) => F.nll_loss(a, zeros(4, int64, a.device)),
        ["mse_loss"] = (a, b) => F.mse_loss(a, b),
        ["l1_loss"] = (a, b) => F.l1_loss(a, b),
        ["smooth_l1_loss"] = (a, b) => F.smooth_l1_loss(a, b),
        ["huber_loss"] = (a, b) => F.huber_loss(a, b),
        ["kl_div"] = (a, b) => F.kl_div(a, b, reduction: Reduction.Sum),
        ["cosine_similarity"] = (a, b) => F.cosine_similarity(a, b),
        ["binary_cross_entropy_with_logits"] = (a, b) => F.binary_cross_entropy_with_logits(a, b.abs()),
        ["sum"] = (a, _) => a.sum(),
        ["sum_dim"] = (a, _) => a.sum([1L]),
        ["prod"] = (a, _) => a.prod(),
        ["cumsum"] = (a, _) => a.cumsum(0),
        ["cumprod"] = (a, _) => a.cumprod(0),
        ["mean"] = (a, _) => a.mean(),
        ["var"] = (a, _) => a.var(),
        ["norm"] = (a, _) => a.norm(),
        ["exp"] = (a, _) => a.exp(),
        ["expm1"] = (a, _) => a.expm1(),
        ["log"] = (a, _) => a.abs().log(),
        ["log1p"] = (a, _) => a.abs().log1p(),
        ["pow"] = (a, _) => a.pow(2),
        ["rsqrt"] = (a, _) => a.abs().rsqrt(),
        ["reciprocal"] = (a, _) => a.reciprocal(),
        ["erfinv"] = (a, _) => (a * 0).erfinv(),
        ["acos"] = (a, _) => (a * 0).acos(),
        ["tan"] = (a, _) => a.tan(),
        ["sin"] = (a, _) => a.sin(),
        ["gelu"] = (a, _) => F.gelu(a),
        ["silu"] = (a, _) => F.silu(a),
        ["relu"] = (a, _) => F.relu(a),
        ["tanh"] = (a, _) => a.tanh(),
        ["sigmoid"] = (a, _) => a.sigmoid(),
        ["softplus"] = (a, _) => F.softplus(a),
        ["dropout"] = (a, _) => F.dropout(a, 0.5),
        ["add"] = (a, b) => a + b,
        ["mul"] = (a, b) => a * b,
        ["div"] = (a, b) => a / b,
        ["addcmul"] = (a, b) => a.addcmul(b, b, 1),
        ["addcdiv"] = (a, b) => a.addcdiv(b, b.abs() + 1, 1),
        ["atan2"] = (a, b) => a.atan2(b),
        ["cat"] = (a, b) => cat([a, b]),
        ["stack"] = (a, b) => stack([a, b]),
        ["dot"] = (a, b) => a[0].dot(b[0]),
        ["cross"] = (a, b) => linalg.cross(a.narrow(1, 0, 3), b.narrow(1, 0, 3)),
        ["index_put"] = Call(
            "aten::index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor",
            (op, a, b) => op.CallForTensor(a, new Tensor?[] { zeros(1, int64, a.device) }, b.narrow(0, 0, 1))),
        ["scatter_add"] = (a, b) => a.scatter_add(0, zeros(4, 4, int64, a.device), b),
        ["grid_sample"] = (a, b) => F.grid_sample(a.view(1, 1, 4, 4), b.view(1, 2, 4, 2), align_corners: false),
        ["interpolate"] = (a, _) => F.interpolate(a.view(1, 1, 4, 4), scale_factor: [2, 2], mode: InterpolationMode.Bilinear),
        ["max_pool2d"] = (a, _) => F.max_pool2d(a.view(1, 1, 4, 4), 2),
        ["avg_pool2d"] = (a, _) => F.avg_pool2d(a.view(1, 1, 4, 4), 2),
    };

    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData("cpu", ScalarType.BFloat16)]
    [InlineData("cpu", ScalarType.Float16)]
    [InlineData("cuda", ScalarType.BFloat16)]
    [InlineData("cuda", ScalarType.Float16)]
    public void Results_have_the_dtypes_that_they_have_in_pytorch(string device, ScalarType dtype)
    {
        Assert.SkipWhen(device == "cuda" && !cuda_is_available(), $"Needs a GPU: {CudaDriver.WhyUnavailable ?? "this libtorch is built without CUDA"}.");
        using var file = File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Precision", "AutocastParity.json"));
        using var table = JsonDocument.Parse(file);
        var rows = table.RootElement.GetProperty("rows").EnumerateArray().ToList();
        Assert.Equal(_operators.Keys.Order(), rows.Select(row => row.GetProperty("operator").GetString()!).Distinct().Order());
        var differences = new List<string>();
        foreach (var row in rows)
        {
            var expected = row.GetProperty($"{device} {dtype}").GetString();
            // What PyTorch refuses is another matter than a dtype.
            if (expected == "error") continue;
            using var scope = NewDisposeScope();
            var (left, right) = (Argument(row, "left"), Argument(row, "right"));
            var (a, b) = (rand(4, 4).to(left).to(torch.device(device)), rand(4, 4).to(right).to(torch.device(device)));
            string actual;
            using (Autocast.Enter(a.device_type, dtype)) actual = Compute(row.GetProperty("operator").GetString()!, a, b);
            if (actual != expected) differences.Add($"{row.GetProperty("operator")}({left}, {right}): {actual}, in PyTorch {expected}");
        }

        Assert.Empty(differences);

        ScalarType Argument(JsonElement row, string name) =>
            row.GetProperty(name).GetString() is var text && text == "narrow" ? dtype : Enum.Parse<ScalarType>(text!);
    }

    private static string Compute(string name, Tensor a, Tensor b)
    {
        try
        {
            return _operators[name](a, b).dtype.ToString();
        }
        catch (System.Runtime.InteropServices.ExternalException exception)
        {
            return exception.Message.Split('\n')[0];
        }
    }

    private static Func<Tensor, Tensor, Tensor> Call(string schema, Func<TorchOperator, Tensor, Tensor, Tensor> call) =>
        (a, b) => call(TorchOperator.Get(schema), a, b);
}

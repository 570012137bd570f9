using AccelerateSharp.Internal.Interop;
using BenchmarkDotNet.Attributes;
using static TorchSharp.torch;

namespace AccelerateSharp.Benchmarks;

/// <summary>What a call of an operator costs by itself: on tensors so small that computing takes no time.</summary>
[MemoryDiagnoser]
[MinColumn]
public class OperatorCalls
{
    private const int Many = 100;

    private readonly TorchOperator _mul = TorchOperator.Get("aten::mul.Tensor(Tensor self, Tensor other) -> Tensor");
    private readonly TorchOperator _mulInPlace = TorchOperator.Get("aten::mul_.Tensor(Tensor(a!) self, Tensor other) -> Tensor(a!)");
    private readonly TorchOperator _foreachMulInPlace = TorchOperator.Get("aten::_foreach_mul_.Tensor(Tensor(a!)[] self, Tensor other) -> ()");
    private readonly Tensor _a = ones(4);
    private readonly Tensor _one = ones(4);
    private readonly Tensor _scalar = tensor(1f);
    private readonly Tensor[] _list = [.. Enumerable.Range(0, Many).Select(_ => ones(4))];

    [Benchmark]
    public ulong Nothing_over_PInvoke() => AutogradNative.PeekSequenceNumber();

    [Benchmark(Baseline = true)]
    public void TorchSharp_mul_in_place() => _a.mul_(_one);

    [Benchmark]
    public void TorchOperator_mul_in_place() => _mulInPlace.Call(_a, _one);

    [Benchmark]
    public void TorchSharp_mul()
    {
        using var result = _a.mul(_one);
    }

    [Benchmark]
    public void TorchOperator_mul()
    {
        using var result = _mul.CallForTensor(_a, _one);
    }

    [Benchmark]
    public void TorchSharp_mul_in_place_of_100_tensors()
    {
        foreach (var tensor in _list) tensor.mul_(_scalar);
    }

    [Benchmark]
    public void TorchOperator_foreach_mul_in_place_of_100_tensors() => _foreachMulInPlace.Call(_list, _scalar);
}

using AccelerateSharp.Internal.Interop;
using BenchmarkDotNet.Attributes;
using static TorchSharp.torch;

namespace AccelerateSharp.Benchmarks;

/// <summary>What a step pays per parameter for being told when its gradient is ready.</summary>
[MemoryDiagnoser]
[MinColumn]
public class NodesAndSlots
{
    private readonly TorchSharp.Modules.Linear _linear = nn.Linear(4, 4, hasBias: false);
    private readonly TorchSharp.Modules.Embedding _embedding = nn.Embedding(4, 4);
    private ParameterSlot _slot = null!;
    private ParameterSlot _nativeSlot = null!;

    [GlobalSetup]
    public void Find() => (_slot, _nativeSlot) = (ParameterSlots.Of(_linear)[0], ParameterSlots.Of(_embedding)[0]);

    [Benchmark(Baseline = true)]
    public void Detach_alone()
    {
        using var alias = _slot.Parameter.detach();
    }

    [Benchmark]
    public void Detach_and_attach_a_node()
    {
        using var alias = _slot.Parameter.detach();
        AutogradNode.Attach([_slot.Parameter], [alias], static _ => { });
    }

    [Benchmark]
    public void Detach_swap_in_and_back()
    {
        using var alias = _slot.Parameter.detach();
        _slot.SwapIn(alias);
        _slot.SwapBack();
    }

    [Benchmark]
    public void Detach_swap_in_and_back_of_an_embedding()
    {
        using var alias = _nativeSlot.Parameter.detach();
        _nativeSlot.SwapIn(alias);
        _nativeSlot.SwapBack();
    }
}

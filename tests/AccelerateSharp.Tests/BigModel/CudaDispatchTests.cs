using AccelerateSharp.BigModel;
using AccelerateSharp.Internal.Interop;
using TorchSharp;
using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace AccelerateSharp.Tests.BigModel;

/// <summary>Weights that come to a GPU from pinned memory and from the disk; without a GPU these are skipped.</summary>
public sealed class CudaDispatchTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate-tests-").FullName;
    private readonly DisposeScope _scope = NewDisposeScope();

    public CudaDispatchTests() => Assert.SkipUnless(cuda_is_available(), $"Needs a GPU: {CudaDriver.WhyUnavailable ?? "this libtorch is built without CUDA"}.");

    public void Dispose()
    {
        _scope.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void The_same_logits_for_every_map()
    {
        using var noGrad = no_grad();
        Placement gpu = 0;
        foreach (var tied in new[] { false, true })
        {
            var whole = new BlockModel(tied);
            whole.eval();
            var state = whole.state_dict().ToDictionary(entry => entry.Key, entry => entry.Value.clone());
            var tokens = randint(BlockModel.Words, [2, 6]);
            BigModeling.DispatchModel(whole, DeviceMap.All(0));
            var expected = whole.call(tokens.cuda()).cpu();
            (Placement Embed, Func<int, Placement> Layers, Placement Head)[] maps =
            [
                (gpu, i => i < 6 ? gpu : "cpu", gpu), (gpu, i => i < 6 ? gpu : "disk", gpu), ("cpu", i => i % 3 == 0 ? gpu : i % 3 == 1 ? Placement.Cpu : Placement.Disk, "disk"),
                ("disk", _ => "cpu", gpu), (gpu, _ => "disk", "cpu"),
            ];
            foreach (var (embed, layers, head) in maps)
            {
                var model = new BlockModel(tied);
                model.eval();
                model.load_state_dict(state);
                var map = new DeviceMap { ["embed"] = embed, ["norm"] = head, ["head"] = head };
                for (var i = 0; i < 12; i++) map[$"layers.{i}"] = layers(i);
                BigModeling.DispatchModel(model, map, offloadFolder: Path.Combine(_folder, Guid.NewGuid().ToString("N")));
                for (var pass = 0; pass < 3; pass++) Assert.True(expected.equal(model.call(tokens)).all().item<bool>(), map.ToString());
                ModelHooks.RemoveHookFromModule(model, recurse: true);
                Assert.All(model.parameters(), parameter => Assert.False(parameter.is_meta));
            }
        }
    }

    [Fact]
    public void Two_gpus_share_a_model_and_each_has_its_copy_of_a_tied_weight()
    {
        Assert.SkipUnless(cuda.device_count() > 1, "Needs two GPUs.");
        using var noGrad = no_grad();
        var model = new BlockModel(tied: true);
        model.eval();
        var tokens = randint(BlockModel.Words, [2, 6]);
        BigModeling.DispatchModel(model, DeviceMap.All(0));
        var expected = model.call(tokens.cuda()).cpu();
        List<string> said = [];
        var map = new DeviceMap { ["embed"] = 0, ["norm"] = 1, ["head"] = 1 };
        for (var i = 0; i < 12; i++) map[$"layers.{i}"] = i < 4 ? 0 : i < 8 ? 1 : i < 10 ? Placement.Cpu : Placement.Disk;
        using (Notices.Listen(said.Add)) BigModeling.DispatchModel(model, map, offloadFolder: _folder);
        Assert.Contains("Each device keeps a copy", Assert.Single(said));
        for (var pass = 0; pass < 3; pass++)
        {
            var logits = model.call(tokens);
            Assert.Equal(DeviceType.CPU, logits.device_type);
            Assert.True(expected.equal(logits).all().item<bool>());
        }
        Assert.Equal((0, 1), (model.embed.weight!.device_index, model.layers[5].up.weight.device_index));
    }

    [Fact]
    public void Native_modules_and_offload_by_hooks_work_on_the_gpu()
    {
        using var noGrad = no_grad();
        var (lstm, whole) = (LSTM(8, 8), LSTM(8, 8));
        whole.load_state_dict(lstm.state_dict());
        whole.to(CUDA);
        var input = randn(3, 2, 8, device: CUDA);
        // On the same device: cuDNN's LSTM computes in TF32 there, the CPU's in float32.
        var expected = whole.call(input).Item1.cpu();
        BigModeling.CpuOffload(lstm, CUDA);
        for (var pass = 0; pass < 2; pass++) Assert.True(expected.allclose(lstm.call(input).Item1.cpu(), 1e-4, 1e-5));

        var (model, hook) = BigModeling.CpuOffloadWithHook(Linear(4, 4), CUDA);
        Assert.Equal(DeviceType.CUDA, model.call(ones(1, 4)).device_type);
        Assert.Equal(DeviceType.CUDA, model.weight.device_type);
        hook.Offload();
        Assert.Equal(DeviceType.CPU, model.weight.device_type);
    }

    [Fact]
    public void Free_memory_is_asked_of_the_driver()
    {
        var memory = BigModeling.GetMaxMemory();
        Assert.InRange(memory[0].Bytes, 1L << 28, CudaContext.Of(0).MemoryInfo().Total);
        Assert.True(memory["cpu"].Bytes > 1L << 28);
    }

    [Fact]
    public void Two_blocks_of_device_memory_serve_all_of_them()
    {
        using var noGrad = no_grad();
        var model = Sequential([.. Enumerable.Range(0, 24).Select(i => ($"layer{i}", (Module<Tensor, Tensor>)Linear(1024, 1024)))]);
        BigModeling.CpuOffload(model, CUDA);
        var input = randn(1, 1024, device: CUDA);
        model.call(input);
        var engine = OffloadEngine.HookOf(model.children().First())!.Engine;
        Assert.Equal(2 * (1024 * 1024 + 1024) * 4L, engine.PoolBytes);
        cuda.synchronize();
        var before = CudaContext.Of(0).MemoryInfo().Free;
        for (var pass = 0; pass < 10; pass++) model.call(input);
        cuda.synchronize();
        Assert.InRange(before - CudaContext.Of(0).MemoryInfo().Free, -(1 << 26), 1 << 26);
    }
}

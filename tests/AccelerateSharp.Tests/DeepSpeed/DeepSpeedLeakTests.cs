using System.Text.Json.Nodes;
using AccelerateSharp.Tests.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.DeepSpeed;

/// <summary>Steps leave nothing behind: neither in memory nor with files, clipped and scaled.</summary>
[Collection(ProcessWideCounters.Name)]
public sealed class DeepSpeedLeakTests
{
    [Theory]
    [InlineData("nvme", "bf16")]
    [InlineData("none", "fp16")]
    public void Steps_leave_as_many_tensors_as_before(string device, string precision)
    {
        using var scope = NewDisposeScope();
        var config = """
            {"PRECISION": {"enabled": true}, "gradient_clipping": 0.5, "gradient_accumulation_steps": 2, "optimizer": {"type": "AdamW", "params": {"lr": 0.01}},
             "zero_optimization": {"stage": 3, "sub_group_size": 4096, "offload_optimizer": {"device": "DEVICE", "nvme_path": "FOLDER"},
               "offload_param": {"device": "DEVICE", "nvme_path": "FOLDER", "max_in_cpu": 0}}}
            """.Replace("PRECISION", precision, StringComparison.Ordinal).Replace("DEVICE", device, StringComparison.Ordinal).Replace("FOLDER", Path.GetTempPath(), StringComparison.Ordinal);
        var accelerator = new Accelerator(cpu: true, deepSpeedPlugin: new DeepSpeedPlugin { Config = (JsonObject)JsonNode.Parse(config)! });
        try
        {
            var net = nn.Sequential(("up", nn.Linear(64, 128)), ("act", nn.Tanh()), ("down", nn.Linear(128, 1)));
            var optimizer = new DummyOptim(net.parameters());
            (net, optimizer) = accelerator.Prepare(net, optimizer);
            GC.Collect();
            GC.WaitForPendingFinalizers();
            for (var step = 0; step < 4; step++) Step();
            var tensors = Tensor.TotalCount;
            for (var step = 0; step < 8; step++)
            {
                Step();
                Assert.Equal(tensors, Tensor.TotalCount);
            }

            void Step()
            {
                for (var batch = 0; batch < 2; batch++)
                {
                    using var one = NewDisposeScope();
                    using var window = accelerator.Accumulate(net);
                    accelerator.Backward(net.call(randn(4, 64)).square().mean());
                    accelerator.ClipGradNorm(net.parameters(), 0.5);
                    optimizer.step();
                    optimizer.zero_grad();
                }
            }
        }
        finally
        {
            accelerator.FreeMemory();
            accelerator.EndTraining();
        }
    }
}

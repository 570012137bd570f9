using AccelerateSharp.Cli.Launch;
using AccelerateSharp.Cli.Launch.Affinity;

namespace AccelerateSharp.Cli.Tests.Launch;

public sealed class AffinityTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("accelerate tests ").FullName;

    [Theory]
    [InlineData("0-3,8,10-11\n", "0-3,8,10-11")]
    [InlineData("1,0,2", "0-2")]
    [InlineData("\n", "")]
    public void Lists_of_CPUs(string list, string expected) => Assert.Equal(expected, CpuSet.Parse(list).ToString());

    [Fact]
    public void Each_worker_gets_the_CPUs_next_to_its_GPU()
    {
        WriteMachine();
        var binding = CpuBinding.Make(new NumaTopology(_root), CpuSet.Parse("0-15"), workers: 3, onGpu: true, visibleGpus: null);
        Assert.Equal(["0-3,8-11", "4-7,12-15", "4-7,12-15"], binding.Cpus.Select(cpus => cpus?.ToString()));
        Assert.StartsWith("CPU affinity: local rank 0 on 0-3,8-11 (node 0, GPU 0000:01:00.0); local rank 1 on 4-7,12-15 (node 1, GPU 0000:41:00.0)", binding.Summary, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("1,0", "4-7,12-15", "0-3,8-11")]
    [InlineData("GPU-cc,GPU-aaaa", "4-7,12-15", "0-3,8-11")]
    // What CUDA does not see from the first unknown GPU on, no worker computes on.
    [InlineData("0,9,1", "0-3,8-11", "0-3,8-11")]
    public void The_GPUs_are_counted_as_CUDA_counts_them(string visible, params string[] expected)
    {
        WriteMachine();
        var binding = CpuBinding.Make(new NumaTopology(_root), CpuSet.Parse("0-15"), workers: 2, onGpu: true, visible);
        Assert.Equal(expected, binding.Cpus.Select(cpus => cpus?.ToString()));
    }

    [Fact]
    public void Without_GPUs_the_nodes_are_shared_out_and_what_the_job_may_not_use_stays_unused()
    {
        WriteMachine();
        var binding = CpuBinding.Make(new NumaTopology(_root), CpuSet.Parse("2-5"), workers: 4, onGpu: false, visibleGpus: null);
        Assert.Equal(["2-3", "2-3", "4-5", "4-5"], binding.Cpus.Select(cpus => cpus?.ToString()));
    }

    [Fact]
    public void A_GPU_whose_node_is_unknown_and_a_machine_of_one_node_bind_nothing_and_say_so()
    {
        WriteMachine();
        File.WriteAllText(Path.Combine(_root, "sys/bus/pci/devices/0000:01:00.0/numa_node"), "-1\n");
        var binding = CpuBinding.Make(new NumaTopology(_root), CpuSet.Parse("0-15"), workers: 1, onGpu: true, visibleGpus: null);
        Assert.Equal([null], binding.Cpus);
        Assert.Contains("local rank 0 anywhere (GPU 0000:01:00.0 has no node", binding.Summary, StringComparison.Ordinal);

        var one = CpuBinding.Make(new NumaTopology(_root), CpuSet.Parse("0-2"), workers: 2, onGpu: false, visibleGpus: null);
        Assert.Equal([null, null], one.Cpus);
        Assert.Contains("has no effect", one.Summary, StringComparison.Ordinal);
    }

    [Fact]
    public void A_process_begins_on_its_CPUs_and_the_launcher_stays_where_it_was()
    {
        var own = ThreadAffinity.Get();
        Assert.SkipWhen(own is null, "this system binds no process to CPUs");
        var last = new CpuSet([own.Cpus[^1]]);
        var child = ChildProcess.Start("/bin/sh", ["-c", "grep Cpus_allowed_list /proc/self/status"], [new("PATH", "/usr/bin:/bin")], group: null, cpus: last);
        using var output = new StreamReader(child.Output!);
        Assert.Equal(last.ToString(), output.ReadToEnd().Split(':')[1].Trim());
        Assert.True(child.Wait().Succeeded);
        Assert.Equal(own.ToString(), ThreadAffinity.Get()!.ToString());
    }

    [Fact]
    public async Task The_launcher_says_what_it_does()
    {
        var (code, output, error) = await Tool.RunAsync("launch", "--cpu", "--num_processes", "2", "--enable_cpu_affinity", "sh", "-c", "echo $ACCELERATE_CPU_AFFINITY");
        Assert.Equal(0, code);
        Assert.Equal(["[rank 0] 1", "[rank 1] 1"], output.Order());
        Assert.Contains(error, line => line.Contains("CPU affinity: local rank 0 on ", StringComparison.Ordinal) || line.Contains("--enable_cpu_affinity has no effect", StringComparison.Ordinal));
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);

    /// <summary>Two nodes, the GPU 0 at the first and 1 and 2 at the second; a third node has memory only.</summary>
    private void WriteMachine()
    {
        foreach (var (node, cpus) in (ReadOnlySpan<(int, string)>)[(0, "0-3,8-11"), (1, "4-7,12-15"), (2, "")])
            Write($"sys/devices/system/node/node{node}/cpulist", cpus + "\n");
        foreach (var (gpu, node, uuid) in (ReadOnlySpan<(string, int, string)>)[("0000:41:00.0", 1, "GPU-bbbb"), ("0000:01:00.0", 0, "GPU-aaaa"), ("0000:81:00.0", 1, "GPU-cccc")])
        {
            Write($"proc/driver/nvidia/gpus/{gpu}/information", $"Model: \t\t H200\nGPU UUID: \t {uuid}\n");
            Write($"sys/bus/pci/devices/{gpu}/numa_node", $"{node}\n");
        }
    }

    private void Write(string file, string text)
    {
        var path = Path.Combine(_root, file);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }
}

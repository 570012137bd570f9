using AccelerateSharp.Parallel.Swap;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.DeepSpeed;

/// <summary>Values in files: they come back as they were, what goes wrong names the setting, and memory is bounded.</summary>
public sealed class SwapTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate-swap-").FullName;

    public void Dispose()
    {
        _scope.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void Values_come_back_and_the_file_has_no_name()
    {
        using var file = SwapFile.Create(Settings(), 0);
        using var buffer = new SwapBuffer(pinned: false);
        var (a, b) = (randn(5000), randn(3_000_000).to(bfloat16));
        var (first, second) = (PagedField.Reserve(file, a.numel(), float32), PagedField.Reserve(file, b.numel(), bfloat16));
        Assert.Equal(0, second.Position % SwapFile.Alignment);
        second.Write(buffer, b);
        first.Write(buffer, a);
        Assert.Empty(Directory.GetFileSystemEntries(_folder));
        Assert.Equal(0, buffer.Address % SwapFile.Alignment);
        var (aBack, bBack) = (empty(5000), empty(3_000_000, dtype: bfloat16));
        first.Read(buffer, aBack);
        second.Read(buffer, bBack);
        Assert.True(a.equal(aBack).all().item<bool>() && b.equal(bBack).all().item<bool>());
        Assert.True(buffer.Capacity <= 1 << 20, $"{buffer.Capacity} bytes");
        // A part from the middle of it.
        var part = empty(8192);
        using var again = SwapFile.Create(Settings(), 0);
        var whole = PagedField.Reserve(again, 20_000, float32);
        whole.Write(buffer, arange(20_000, dtype: float32));
        whole.Part(4096, 8192).Read(buffer, part);
        Assert.Equal((4096f, 12287f), (part[0].item<float>(), part[-1].item<float>()));
    }

    [Fact]
    public void A_folder_that_cannot_be_used_is_named_with_its_setting()
    {
        Assert.Contains("zero_optimization.offload_param.nvme_path is '/no/such/folder'", Assert.Throws<DirectoryNotFoundException>(() => SwapFile.Create(Settings() with { Folder = "/no/such/folder" }, 2)).Message, StringComparison.Ordinal);
        var error = Assert.Throws<IOException>(() => SwapFile.Create(Settings() with { Folder = "/proc" }, 2)).Message;
        Assert.StartsWith("Rank 2: no file can be made in '/proc' (zero_optimization.offload_param.nvme_path)", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_full_disk_and_a_file_that_was_cut_are_errors()
    {
        using var buffer = new SwapBuffer(pinned: false);
        using var full = SwapFile.Over(File.OpenHandle("/dev/full", FileMode.Open, FileAccess.Write), Settings());
        var error = Assert.Throws<IOException>(() => PagedField.Reserve(full, 1000, float32).Write(buffer, zeros(1000))).Message;
        Assert.Contains("zero_optimization.offload_param.nvme_path", error, StringComparison.Ordinal);
        Assert.Contains("is the disk full?", error, StringComparison.Ordinal);

        using var file = SwapFile.Create(Settings(), 0);
        var field = PagedField.Reserve(file, 100_000, float32);
        field.Write(buffer, zeros(100_000));
        RandomAccess.SetLength(file.Handle, 8192);
        Assert.Contains("has lost its end", Assert.Throws<EndOfStreamException>(() => field.Read(buffer, zeros(100_000))).Message, StringComparison.Ordinal);
    }

    public static TheoryData<string> Kinds => ["adamw", "amsgrad", "adam", "lion", "sgd", "momentum"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Paged_optimizers_compute_the_same_bits_within_bounded_memory(string kind)
    {
        long[] sizes = [10_000, 1, 5_000, 3];
        var values = sizes.Select(size => randn(size)).ToArray();
        var gradients = Enumerable.Range(0, 4).Select(_ => sizes.Select(size => randn(size)).ToArray()).ToArray();
        Parameter[] plain = [.. values.Select(value => new Parameter(value.clone()))], paged = [.. values.Select(value => new Parameter(value.clone()))];
        using var reference = Create(kind, plain);
        using var optimizer = Create(kind, paged);
        Step(reference, plain, gradients[0]);
        Step(optimizer, paged, gradients[0]);
        // A state that is there already moves into the file, and the largest parameter is cut.
        using var pager = new OptimizerPager(Settings(), SwapFile.Create(Settings(), 0), _ => null, pinned: false);
        optimizer.PageOut(pager);
        for (var step = 1; step < gradients.Length; step++)
        {
            Step(reference, plain, gradients[step]);
            Step(optimizer, paged, gradients[step]);
        }

        foreach (var (a, b) in plain.Zip(paged))
        {
            Assert.True(a.equal(b).all().item<bool>());
            var (expected, actual) = (reference.StateOf(a), optimizer.StateOf(b));
            Assert.Equal(expected.Keys.Order(), actual.Keys.Order());
            foreach (var (name, value) in expected) Assert.True(value.equal(actual[name]).all().item<bool>(), name);
        }

        // Three buffers of a tile of 4096 elements in at most three tensors, and what single values pass through.
        Assert.True(pager.BufferBytes <= (3 * 3 * 4096 * 4) + (1 << 20) + (6 * SwapFile.Alignment), $"{pager.BufferBytes} bytes of buffers");
        // And back: what was taken is loaded, in the file again.
        using var third = Create(kind, paged);
        foreach (var parameter in paged) third.LoadState(parameter, optimizer.StateOf(parameter));
        using var stream = new MemoryStream();
        using (var writer = new BinaryWriter(stream, System.Text.Encoding.UTF8, leaveOpen: true)) optimizer.save_state_dict(writer);
        stream.Position = 0;
        using (var reader = new BinaryReader(stream)) optimizer.load_state_dict(reader);
        foreach (var parameter in paged)
            foreach (var (name, value) in third.StateOf(parameter)) Assert.True(value.equal(optimizer.StateOf(parameter)[name]).all().item<bool>(), name);
    }

    [Fact]
    public void An_optimizer_of_weights_in_a_file_updates_them_there()
    {
        using var file = SwapFile.Create(Settings(), 0);
        using var buffer = new SwapBuffer(pinned: false);
        var value = randn(9000);
        var field = PagedField.Reserve(file, 9000, float32);
        field.Write(buffer, value);
        var (plain, stand) = (new Parameter(value.clone()), new Parameter(zeros(1).expand(9000)));
        using var reference = new FusedAdamW([plain], lr: 0.1);
        using var optimizer = new FusedAdamW([stand], lr: 0.1);
        using var pager = new OptimizerPager(Settings(), SwapFile.Create(Settings(), 0), _ => field, pinned: false);
        optimizer.PageOut(pager);
        for (var step = 0; step < 3; step++)
        {
            var gradient = randn(9000);
            Step(reference, [plain], [gradient]);
            Step(optimizer, [stand], [gradient]);
        }

        var back = empty(9000);
        field.Read(buffer, back);
        Assert.True(back.equal(plain).all().item<bool>());
    }

    private static FusedOptimizer Create(string kind, Parameter[] parameters) => kind switch
    {
        "adamw" => new FusedAdamW(parameters, lr: 0.01, weight_decay: 0.1),
        "amsgrad" => new FusedAdamW(parameters, lr: 0.01, amsgrad: true),
        "adam" => new FusedAdam(parameters, lr: 0.01, weight_decay: 0.1),
        "lion" => new Lion(parameters, lr: 0.01, weight_decay: 0.1),
        "momentum" => new FusedSGD(parameters, 0.01, momentum: 0.9),
        _ => new FusedSGD(parameters, 0.01),
    };

    private static void Step(FusedOptimizer optimizer, Parameter[] parameters, Tensor[] gradients)
    {
        foreach (var (parameter, gradient) in parameters.Zip(gradients)) parameter.grad = gradient.clone();
        optimizer.step();
        optimizer.zero_grad();
    }

    private SwapSettings Settings() => new(_folder, "zero_optimization.offload_param.nvme_path", BlockSize: 16384, Parallelism: 4, BufferCount: 3, BufferElements: 4096);
}

using System.Collections;
using AccelerateSharp.Cli.Diagnostics;
using AccelerateSharp.Internal.Interop;

namespace AccelerateSharp.Cli.Tests.Diagnostics;

public sealed class ProbeTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate-probe-").FullName;

    [Theory]
    [InlineData("5.4.0-150-generic", true)]
    [InlineData("4.18.0", true)]
    [InlineData("5.5.0", false)]
    [InlineData("5.15.0-1053-aws", false)]
    [InlineData("6.18.44+", false)]
    public void A_kernel_below_5_5_is_warned_of(string kernel, bool isOld) => Assert.Equal(isOld, EnvironmentProbe.KernelWarning(kernel) is not null);

    [Fact]
    public void Variables_that_do_not_matter_are_left_out()
    {
        var shown = VariableProbe.Select(new Hashtable
        {
            ["RANK"] = "3",
            ["PATH"] = "/usr/bin",
            ["HOME"] = "/home/me",
            ["HF_TOKEN"] = "x",
            ["OMP_NUM_THREADS"] = "4",
            ["ACCELERATE_API_KEY"] = "",
        });
        Assert.Equal(["ACCELERATE_API_KEY=", "HF_TOKEN=(set, not shown)", "OMP_NUM_THREADS=4", "RANK=3"], shown.Select(pair => $"{pair.Key}={pair.Value}"));
    }

    [Fact]
    public void Libtorch_is_looked_for_where_the_library_looks()
    {
        var missing = LibraryProbe.FindTorch(Search(null));
        Assert.Null(missing.Path);
        Assert.Contains("ACCELERATE_LIBTORCH", missing.Note, StringComparison.Ordinal);

        var package = Put("packages", "libtorch-cpu-linux-x64", "2.10.0", "runtimes", "linux-x64", "native", "libtorch_cpu.so");
        Assert.Equal(new LibraryFacts("libtorch", package, "2.10.0", "CPU only"), LibraryProbe.FindTorch(Search(null)));

        var python = Put("site-packages", "torch", "lib", "libtorch_cpu.so");
        Put("site-packages", "torch", "lib", "libtorch_cuda.so");
        File.WriteAllText(Path.Combine(_folder, "site-packages", "torch", "version.py"), "from typing import Optional\n__version__ = '2.11.0+cu130'\n");
        Assert.Equal(
            new LibraryFacts("libtorch", python, "2.11.0+cu130", "with CUDA"), LibraryProbe.FindTorch(Search(Path.Combine(_folder, "site-packages", "torch"))));

        var wrong = LibraryProbe.FindTorch(Search(Path.Combine(_folder, "nowhere")));
        Assert.Null(wrong.Path);
        Assert.Contains("nowhere", wrong.Note, StringComparison.Ordinal);
    }

    [Fact]
    public void A_cxx_library_that_is_too_old_is_warned_of()
    {
        var file = Put("libstdc++.so.6");
        File.WriteAllText(file, "GLIBCXX_3.4\0GLIBCXX_3.4.9\0GLIBCXX_3.4.30\0GLIBCXX_3.4.29\0");
        var version = LibraryProbe.NewestGlibcxx(file);
        Assert.Equal("GLIBCXX_3.4.30", version);
        Assert.Contains("GLIBCXX_3.4.32", LibraryProbe.CxxWarning([new LibraryFacts(LibraryProbe.Cxx, file, version, null)]), StringComparison.Ordinal);
        Assert.Null(LibraryProbe.CxxWarning([new LibraryFacts(LibraryProbe.Cxx, file, "GLIBCXX_3.4.32", null)]));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private NativeSearch Search(string? named) => new()
    {
        Override = named,
        OutputFolders = [],
        PackageFolder = Path.Combine(_folder, "packages"),
        LibTorchVersion = "2.10.0",
        TorchSharpVersion = "0.107.0",
        RuntimeIdentifier = "linux-x64",
        AsksSystem = false,
    };

    private string Put(params string[] parts)
    {
        var path = Path.Combine([_folder, .. parts]);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, "");
        return path;
    }
}

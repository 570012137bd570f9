using AccelerateSharp.Internal.Interop;
using TorchSharp;

namespace AccelerateSharp.Tests.Interop;

public sealed class NativeLibrariesTests : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("accelerate-natives-").FullName;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    private NativeSearch Search(string? named = null) => new()
    {
        Override = named,
        OutputFolders = [Path.Combine(_root, "output")],
        PackageFolder = Path.Combine(_root, "packages"),
        LibTorchVersion = "2.10.0",
        TorchSharpVersion = "0.107.0",
        RuntimeIdentifier = "linux-x64",
        // This process has a libtorch, which the linker would offer.
        AsksSystem = false,
    };

    private string PathOf(params string[] parts) => Path.Combine([_root, .. parts]);

    private string Put(string text, params string[] parts)
    {
        var path = PathOf(parts);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
        return Path.GetDirectoryName(path)!;
    }

    private string? FindTorch(NativeSearch search) => new NativeLoader(search).FindFolder(search.TorchFolders(), NativeSearch.TorchFile);

    [Fact]
    public void The_nearest_place_wins()
    {
        Assert.Null(FindTorch(Search()));
        var package = Put("", "packages", "libtorch-cpu-linux-x64", "2.10.0", "runtimes", "linux-x64", "native", NativeSearch.TorchFile);
        Assert.Equal(package, FindTorch(Search()));
        var runtimes = Put("", "output", "runtimes", "linux-x64", "native", NativeSearch.TorchFile);
        Assert.Equal(runtimes, FindTorch(Search()));
        var output = Put("", "output", NativeSearch.TorchFile);
        Assert.Equal(output, FindTorch(Search()));
        var named = Put("", "venv", "torch", "lib", NativeSearch.TorchFile);
        Assert.Equal(named, FindTorch(Search(named)));
        Assert.Equal(named, FindTorch(Search(PathOf("venv", "torch"))));
        Assert.Equal(named, FindTorch(Search(PathOf("venv"))));
    }

    [Fact]
    public void Another_version_of_the_package_is_not_taken()
    {
        Put("", "packages", "libtorch-cpu-linux-x64", "2.4.0", "runtimes", "linux-x64", "native", NativeSearch.TorchFile);
        Assert.Null(FindTorch(Search()));
    }

    [Fact]
    public void A_named_folder_is_the_only_one_for_libtorch_and_none_for_the_shim()
    {
        Put("", "output", NativeSearch.TorchFile);
        Assert.Null(FindTorch(Search(PathOf("wrong"))));
        Assert.DoesNotContain(PathOf("wrong"), Search(PathOf("wrong")).ShimFolders());
        Assert.Contains(PathOf("packages", "torchsharp", "0.107.0", "runtimes", "linux-x64", "native"), Search().ShimFolders());
    }

    [Fact]
    public void The_folders_of_NVIDIAs_packages_lie_beside_torch()
    {
        var torch = Put("", "site-packages", "torch", "lib", NativeSearch.TorchFile);
        Assert.Empty(NativeSearch.NvidiaFolders(torch));
        var cublas = Put("", "site-packages", "nvidia", "cublas", "lib", "libcublas.so.12");
        var cuda13 = Put("", "site-packages", "nvidia", "cu13", "lib", "libcudart.so.13");
        Assert.Equal([cuda13, cublas], NativeSearch.NvidiaFolders(torch));
    }

    [Fact]
    public void The_versions_are_those_of_the_build()
    {
        var search = NativeSearch.Of([]);
        Assert.Equal(torch.__version__, search.LibTorchVersion + ".0");
        Assert.StartsWith(search.TorchSharpVersion, typeof(torch).Assembly.GetCustomAttributes(inherit: false)
            .OfType<System.Reflection.AssemblyInformationalVersionAttribute>().Single().InformationalVersion);
    }

    [Fact]
    public void What_is_loaded_already_stays()
    {
        using var one = torch.ones(1);
        // A search that can find nothing: everything must come from what this process has.
        var loader = new NativeLoader(Search(PathOf("nowhere")));
        loader.Load();
        Assert.Contains("torch_cpu", loader.Handles.Keys);
        Assert.Contains("LibTorchSharp", loader.Handles.Keys);
        NativeLibraries.EnsureLoaded();
        Assert.True(NativeLibraries.TryGetExport(NativeLibraries.TorchCpu, "torch_call_dispatcher", out _));
        Assert.False(NativeLibraries.TryGetExport(NativeLibraries.TorchCpu, "no_such_function", out _));
        Assert.False(NativeLibraries.TryGetExport("no_such_library", "torch_call_dispatcher", out _));
    }

    [Fact]
    public void A_failure_lists_every_place_and_says_what_to_do()
    {
        var message = Assert.Throws<DllNotFoundException>(() => new NativeLoader(Search()).LoadFirstTorch()).Message;
        string[] places =
        [
            PathOf("output", NativeSearch.TorchFile),
            PathOf("output", "runtimes", "linux-x64", "native", NativeSearch.TorchFile),
            PathOf("packages", "libtorch-cpu-linux-x64", "2.10.0", "runtimes", "linux-x64", "native", NativeSearch.TorchFile),
        ];
        Assert.Equal(places, places.OrderBy(place => message.IndexOf(place, StringComparison.Ordinal)));
        Assert.All(places, place => Assert.Contains($"{place}: no such file", message));
        Assert.Contains("libtorch-cpu-linux-x64", message);
        Assert.Contains(NativeSearch.OverrideVariable, message);
    }

    [Fact]
    public void A_wrong_setting_is_named()
    {
        var message = Assert.Throws<DllNotFoundException>(() => new NativeLoader(Search(PathOf("wrong"))).LoadFirstTorch()).Message;
        Assert.Contains($"ACCELERATE_LIBTORCH is '{PathOf("wrong")}'", message);
    }

    [Fact]
    public void A_file_that_is_no_library_is_named_with_the_linkers_reason()
    {
        Put("not a library", "output", NativeSearch.ShimFile);
        var message = Assert.Throws<DllNotFoundException>(() => new NativeLoader(Search()).LoadFirstShim()).Message;
        Assert.Contains("libLibTorchSharp.so could not be loaded", message);
        Assert.Matches($"{NativeSearch.ShimFile}: .*(invalid ELF header|file too short)", message);
        Assert.DoesNotContain("GCC 13", message);
    }

    [Fact]
    public void An_old_C_library_is_recognized()
    {
        var linker = new DllNotFoundException("Unable to load\n/lib/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by libLibTorchSharp.so)\n");
        var message = new NativeLoader(Search()).Failure("It could not be loaded.", linker).Message;
        Assert.Contains("GCC 13", message);
        Assert.Contains("Debian 12", message);
    }
}

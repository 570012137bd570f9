using System.Security.Cryptography;
using System.Text;
using AccelerateSharp.Core.Tests.Safetensors;
using AccelerateSharp.Hub;
using AccelerateSharp.Safetensors;

namespace AccelerateSharp.Core.Tests.Hub;

public sealed class HubClientTests : IAsyncLifetime
{
    private static readonly byte[] _config = Encoding.UTF8.GetBytes("""{"model_type":"net"}""");
    private static readonly byte[] _weights = [.. Enumerable.Range(0, 300_000).Select(i => (byte)(i * 7))];

    private readonly TemporaryFolder _folder = new();
    private FakeHub _hub = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private string ModelFolder => Path.Combine(_folder.Path, "models--org--net");

    public async ValueTask InitializeAsync()
    {
        _hub = await FakeHub.StartAsync();
        _hub.Files["config.json"] = _config;
        _hub.Files["weights.bin"] = _weights;
    }

    public async ValueTask DisposeAsync()
    {
        await _hub.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task Files_lie_where_all_clients_of_the_hub_look_for_them()
    {
        using var client = Client();
        var model = await FindAsync(client);
        Assert.Equal(_config, await File.ReadAllBytesAsync(await client.DownloadAsync(model, "config.json", Cancel), Cancel));
        var path = await client.DownloadAsync(model, "weights.bin", Cancel);
        Assert.Equal(_weights, await File.ReadAllBytesAsync(path, Cancel));
        Assert.Equal(Path.Combine(ModelFolder, "snapshots", FakeHub.Commit, "weights.bin"), path);
        Assert.Equal("../../blobs/" + Convert.ToHexStringLower(SHA256.HashData(_weights)), new FileInfo(path).LinkTarget);
        Assert.Equal(FakeHub.Commit, await File.ReadAllTextAsync(Path.Combine(ModelFolder, "refs", "main"), Cancel));
        var count = _hub.Requests.Count;
        await client.DownloadAsync(model, "weights.bin", Cancel);
        Assert.Equal(count, _hub.Requests.Count);
        AssertNothingHalfWritten();
    }

    [Fact]
    public async Task The_token_goes_to_the_hub_and_nowhere_else()
    {
        _hub.IsPrivate = true;
        using (var client = Client())
            Assert.Equal(HubFailure.NoSuchModel, (await Assert.ThrowsAsync<HubException>(() => FindAsync(client))).Failure);
        using (var client = Client(options => options with { Token = FakeHub.Token }))
            Assert.Equal(_weights, await File.ReadAllBytesAsync(await client.DownloadAsync(await FindAsync(client), "weights.bin", Cancel), Cancel));
    }

    [Fact]
    public async Task A_model_that_was_renamed_is_found()
    {
        using var client = Client();
        Assert.Equal(FakeHub.Commit, (await client.FindAsync("old/name", "main", Cancel)).Commit);
    }

    [Fact]
    public async Task A_download_that_is_cut_off_goes_on_where_it_stopped()
    {
        _hub.NextContents.Enqueue(FakeHub.CutAfter(100_000));
        _hub.NextContents.Enqueue(FakeHub.CutAfter(50_000));
        using var client = Client();
        var path = await client.DownloadAsync(await FindAsync(client), "weights.bin", Cancel);
        Assert.Equal(_weights, await File.ReadAllBytesAsync(path, Cancel));
        Assert.Contains("GET /weights.bin bytes=100000-", _hub.Requests);
        Assert.Contains("GET /weights.bin bytes=150000-", _hub.Requests);
    }

    [Fact]
    public async Task Connections_that_break_are_made_again()
    {
        foreach (var count in (int[])[0, 1, 1000, 100_000]) _hub.NextContents.Enqueue(FakeHub.ResetAfter(count));
        using var client = Client();
        var path = await client.DownloadAsync(await FindAsync(client), "weights.bin", Cancel);
        Assert.Equal(_weights, await File.ReadAllBytesAsync(path, Cancel));
        AssertNothingHalfWritten();
    }

    [Fact]
    public async Task A_later_run_goes_on_with_what_an_earlier_one_left()
    {
        var options = _hub.Options(_folder.Path) with { MaxAttempts = 1 };
        _hub.NextContents.Enqueue(FakeHub.CutAfter(100_000));
        using (var client = new HubClient(options))
        {
            var model = await FindAsync(client);
            var error = await Assert.ThrowsAsync<HubException>(() => client.DownloadAsync(model, "weights.bin", Cancel));
            Assert.Equal(HubFailure.Unreachable, error.Failure);
        }
        AssertNotThere("weights.bin");
        using (var client = new HubClient(options))
        {
            var path = await client.DownloadAsync(await FindAsync(client), "weights.bin", Cancel);
            Assert.Equal(_weights, await File.ReadAllBytesAsync(path, Cancel));
        }
        Assert.Contains("GET /weights.bin bytes=100000-", _hub.Requests);
        AssertNothingHalfWritten();
    }

    [Fact]
    public async Task What_an_earlier_run_left_damaged_is_fetched_again()
    {
        var blob = Path.Combine("models--org--net", "blobs", Convert.ToHexStringLower(SHA256.HashData(_weights)) + ".incomplete");
        _folder.Write(blob, new byte[1000]);
        using var client = Client();
        var path = await client.DownloadAsync(await FindAsync(client), "weights.bin", Cancel);
        Assert.Equal(_weights, await File.ReadAllBytesAsync(path, Cancel));
        AssertNothingHalfWritten();
    }

    [Fact]
    public async Task A_server_without_ranges_is_read_from_the_start()
    {
        _hub.NextContents.Enqueue(FakeHub.CutAfter(100_000));
        _hub.NextContents.Enqueue((context, _) =>
        {
            context.Response.StatusCode = 200;
            context.Response.Headers.Remove("Content-Range");
            return FakeHub.Instead(_weights)(context, _weights);
        });
        using var client = Client();
        var path = await client.DownloadAsync(await FindAsync(client), "weights.bin", Cancel);
        Assert.Equal(_weights, await File.ReadAllBytesAsync(path, Cancel));
    }

    [Fact]
    public async Task A_wrong_length_or_content_is_never_kept()
    {
        using var client = Client();
        var model = await FindAsync(client);
        foreach (var wrong in (byte[][])[_weights[..^1], [.. _weights, 0], [.. _weights[..^1], 0]])
        {
            _hub.NextContents.Enqueue(FakeHub.Instead(wrong));
            _hub.NextContents.Enqueue(FakeHub.Instead(wrong));
            var error = await Assert.ThrowsAsync<HubException>(() => client.DownloadAsync(model, "weights.bin", Cancel));
            Assert.Equal(HubFailure.Damaged, error.Failure);
            AssertNotThere("weights.bin");
            _hub.NextContents.Clear();
        }
        _hub.Etag = new string('a', 40);
        Assert.Equal(HubFailure.Damaged, (await Assert.ThrowsAsync<HubException>(() => client.DownloadAsync(model, "config.json", Cancel))).Failure);
        AssertNotThere("config.json");
    }

    [Fact]
    public async Task An_etag_can_name_no_file_elsewhere()
    {
        _hub.Etag = "../../../escaped";
        using var client = Client();
        var model = await FindAsync(client);
        await Assert.ThrowsAsync<HubException>(() => client.DownloadAsync(model, "weights.bin", Cancel));
        await Assert.ThrowsAsync<HubException>(() => client.DownloadAsync(model, "../escaped", Cancel));
        Assert.Equal(["models--org--net"], Directory.EnumerateFileSystemEntries(_folder.Path).Select(path => Path.GetFileName(path)));
    }

    [Fact]
    public async Task A_server_that_says_nothing_counts_as_gone()
    {
        _hub.NextContents.Enqueue(FakeHub.StallAfter(1000));
        using var client = Client(options => options with { StallTimeout = TimeSpan.FromSeconds(1) });
        var path = await client.DownloadAsync(await FindAsync(client), "weights.bin", Cancel);
        Assert.Equal(_weights, await File.ReadAllBytesAsync(path, Cancel));
        Assert.Contains("GET /weights.bin bytes=1000-", _hub.Requests);
        _hub.Stalls = true;
        Assert.Equal(HubFailure.Unreachable, (await Assert.ThrowsAsync<HubException>(() => FindAsync(client))).Failure);
    }

    [Fact]
    public async Task Two_clients_at_once_get_the_same_file()
    {
        using HubClient one = Client(), two = Client();
        var model = await FindAsync(one);
        var paths = await Task.WhenAll(one.DownloadAsync(model, "weights.bin", Cancel), two.DownloadAsync(model, "weights.bin", Cancel));
        Assert.Equal(paths[0], paths[1]);
        Assert.Equal(_weights, await File.ReadAllBytesAsync(paths[0], Cancel));
    }

    [Fact]
    public async Task Trouble_that_passes_is_waited_for()
    {
        foreach (var status in (int[])[429, 503, 500]) _hub.NextStatuses.Enqueue(status);
        using var client = Client();
        Assert.Equal(["config.json", "weights.bin"], (await FindAsync(client)).Files);
        for (var i = 0; i < 5; i++) _hub.NextStatuses.Enqueue(429);
        var error = await Assert.ThrowsAsync<HubException>(() => FindAsync(Client()));
        Assert.Equal(HubFailure.Unreachable, error.Failure);
        Assert.Contains("HF_TOKEN", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Of_weights_only_the_header_is_fetched()
    {
        _hub.Files["model.safetensors"] = SafetensorsBytes.File(SafetensorsBytes.Tensor("U8", "[200000]", 0, 200_000), 200_000);
        var longName = new string('n', 150_000);
        _hub.Files["long.safetensors"] = SafetensorsBytes.File(SafetensorsBytes.Tensor("U8", "[4]", 0, 4).Replace("\"a\"", $"\"{longName}\"", StringComparison.Ordinal), 4);
        _hub.NextContents.Enqueue(FakeHub.CutAfter(10));
        using var client = Client();
        var model = await FindAsync(client);
        Assert.Equal(200_000, (await client.ReadHeaderAsync(model, "model.safetensors", Cancel)).Tensors.Single().ElementCount);
        Assert.Equal(longName, (await client.ReadHeaderAsync(model, "long.safetensors", Cancel)).Tensors.Single().Name);
        Assert.All(_hub.Requests.Where(request => request.StartsWith("GET /m", StringComparison.Ordinal)), request => Assert.EndsWith(" bytes=0-102399", request, StringComparison.Ordinal));
        Assert.False(Directory.Exists(Path.Combine(ModelFolder, "blobs")));
        _hub.Files["model.safetensors"] = _weights;
        await Assert.ThrowsAsync<SafetensorsException>(() => client.ReadHeaderAsync(model, "model.safetensors", Cancel));
    }

    [Theory]
    [InlineData(401)]
    [InlineData(403)]
    public async Task A_gated_model_tells_how_to_get_in(int status)
    {
        _hub.Refusal = (status, "GatedRepo");
        using var client = Client();
        var model = await FindAsync(client);
        foreach (var file in (string[])["config.json", "weights.bin"])
        {
            var error = await Assert.ThrowsAsync<HubException>(() => client.DownloadAsync(model, file, Cancel));
            Assert.Equal(HubFailure.Gated, error.Failure);
            Assert.Contains("set HF_TOKEN", error.Message, StringComparison.Ordinal);
        }
        using var known = Client(options => options with { Token = "hf_other" });
        var refused = await Assert.ThrowsAsync<HubException>(() => known.ReadHeaderAsync(model, "weights.bin", Cancel));
        Assert.Contains("Accept its conditions", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_unknown_model_comes_with_the_nearest_names()
    {
        using var client = Client();
        var error = await Assert.ThrowsAsync<HubException>(() => client.FindAsync("org/nett", "main", Cancel));
        Assert.Equal(HubFailure.NoSuchModel, error.Failure);
        Assert.Contains("Did you mean org/nest, org/nets, ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_unknown_revision_or_file_is_named()
    {
        using var client = Client();
        Assert.Equal(HubFailure.NoSuchRevision, (await Assert.ThrowsAsync<HubException>(() => client.FindAsync(FakeHub.Model, "v9", Cancel))).Failure);
        var model = await FindAsync(client);
        Assert.Equal(HubFailure.NoSuchFile, (await Assert.ThrowsAsync<HubException>(() => client.DownloadAsync(model, "none.bin", Cancel))).Failure);
    }

    [Fact]
    public async Task Offline_the_cache_is_used_and_nothing_else()
    {
        using (var client = Client()) await client.DownloadAsync(await FindAsync(client), "config.json", Cancel);
        var count = _hub.Requests.Count;
        using (var client = Client(options => options with { Offline = true }))
        {
            var model = await FindAsync(client);
            Assert.Equal(["config.json"], model.Files);
            Assert.True(File.Exists(await client.DownloadAsync(model, "config.json", Cancel)));
            Assert.Equal(HubFailure.Offline, (await Assert.ThrowsAsync<HubException>(() => client.DownloadAsync(model, "weights.bin", Cancel))).Failure);
            Assert.Equal(HubFailure.Offline, (await Assert.ThrowsAsync<HubException>(() => client.FindAsync("org/other", "main", Cancel))).Failure);
        }
        Assert.Equal(count, _hub.Requests.Count);
        // So it is where the server cannot be reached.
        await _hub.DisposeAsync();
        using (var client = Client())
        {
            Assert.True((await FindAsync(client)).IsFromCache);
            Assert.Equal(HubFailure.Unreachable, (await Assert.ThrowsAsync<HubException>(() => client.FindAsync("org/other", "main", Cancel))).Failure);
        }
    }

    private static Task<HubModel> FindAsync(HubClient client) => client.FindAsync(FakeHub.Model, "main", Cancel);

    private HubClient Client(Func<HubOptions, HubOptions>? change = null)
    {
        var options = _hub.Options(_folder.Path);
        return new HubClient(change is null ? options : change(options));
    }

    private void AssertNotThere(string file)
    {
        Assert.False(File.Exists(Path.Combine(ModelFolder, "snapshots", FakeHub.Commit, file)));
        var blobs = Path.Combine(ModelFolder, "blobs");
        if (Directory.Exists(blobs)) Assert.All(Directory.EnumerateFiles(blobs), blob => Assert.EndsWith(".incomplete", blob, StringComparison.Ordinal));
    }

    private void AssertNothingHalfWritten() =>
        Assert.Empty(Directory.EnumerateFiles(_folder.Path, "*.incomplete", SearchOption.AllDirectories));
}

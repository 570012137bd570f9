using System.Net;
using System.Net.Http.Headers;
using System.Net.NetworkInformation;
using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Core.Tests.Rendezvous;

public sealed class SecurityTests : IDisposable
{
    private readonly ServedStore _served = new();
    private readonly HttpClient _stranger = new();

    [Theory]
    [InlineData(null)]
    [InlineData("Bearer")]
    [InlineData("Bearer 0000000000000000000000000000000000000000000000000000000000000000")]
    [InlineData("Basic 0000")]
    public async Task A_stranger_is_refused_and_logged(string? authorization)
    {
        _served.NewClient().Set("secret", [1]);
        var cancel = TestContext.Current.CancellationToken;
        foreach (var (method, path) in new[] { ("GET", "value?g=0&k=secret"), ("PUT", "value?g=0&k=secret"), ("GET", "session?g=0"), ("GET", "elsewhere") })
        {
            using var request = new HttpRequestMessage(new HttpMethod(method), $"http://{_served.Endpoint}/{path}");
            request.Headers.TryAddWithoutValidation("Authorization", authorization);
            using var response = await _stranger.SendAsync(request, cancel);
            Assert.Equal(HttpStatusCode.Unauthorized, response.StatusCode);
            Assert.Empty(await response.Content.ReadAsByteArrayAsync(cancel));
        }
        // However often he knocks: one line a second at most, with his address.
        var line = Assert.Single(_served.Log);
        Assert.Contains("127.0.0.1:", line, StringComparison.Ordinal);
        Assert.DoesNotContain(_served.Token, line, StringComparison.Ordinal);
        Assert.Equal([1], _served.NewClient().TryGet("secret")!);
    }

    [Fact]
    public void A_worker_with_another_token_is_told_so()
    {
        var error = Assert.Throws<RendezvousException>(
            () => RendezvousClient.Connect(_served.Endpoint, RendezvousStore.NewToken, 0, ServedStore.Patience, cancellationToken: TestContext.Current.CancellationToken));
        Assert.Contains(EnvironmentVariables.RendezvousToken, error.Message, StringComparison.Ordinal);
        Assert.NotEmpty(_served.Log);
    }

    [Fact]
    public async Task An_oversized_value_is_refused_unread()
    {
        _stranger.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", _served.Token);
        _stranger.DefaultRequestHeaders.ExpectContinue = true;
        using var body = new ByteArrayContent(new byte[StoreLimits.MaxValueBytes + 1]);
        using var response = await _stranger.PutAsync(new Uri($"http://{_served.Endpoint}/value?g=0&k=big"), body, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, response.StatusCode);
        Assert.Null(_served.NewClient().TryGet("big"));
    }

    [Fact]
    public void One_machine_means_loopback_only()
    {
        var listeners = IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Where(end => end.Port == _served.Server.Port);
        Assert.All(listeners, end => Assert.True(IPAddress.IsLoopback(end.Address), $"{end}"));
    }

    [Fact]
    public async Task Without_a_token_the_workers_of_one_user_share_a_private_file()
    {
        var port = LivenessTests.FreePort();
        var worker = new WorkerEnvironment { WorldSize = 2, LocalWorldSize = 2, MasterPort = port };
        TokenFile.Write(port, "left by a job that crashed"); // must not keep anybody out
        var other = Task.Factory.StartNew(
            () => RendezvousStore.Connect(worker with { Rank = 1, LocalRank = 1 }, ServedStore.Patience),
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        var host = RendezvousStore.Connect(worker, ServedStore.Patience);
        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(TokenFile.PathOf(port)));
        Assert.Equal(64, TokenFile.TryRead(port)!.Length);
        var client = await other;
        client.Set("a", [1]);
        Assert.Equal([1], host.TryGet("a")!);
        client.Dispose();
        host.Dispose();
        Assert.False(File.Exists(TokenFile.PathOf(port)));
    }

    [Fact]
    public void A_token_file_that_others_can_read_is_not_trusted()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows has no file modes.");
            return;
        }
        var port = LivenessTests.FreePort();
        Assert.Null(TokenFile.TryRead(port));
        TokenFile.Write(port, "token");
        try
        {
            Assert.Equal("token", TokenFile.TryRead(port));
            File.SetUnixFileMode(TokenFile.PathOf(port), UnixFileMode.UserRead | UnixFileMode.GroupRead);
            var error = Assert.Throws<RendezvousException>(() => TokenFile.TryRead(port));
            Assert.Contains(TokenFile.PathOf(port), error.Message, StringComparison.Ordinal);
        }
        finally
        {
            TokenFile.Delete(port);
        }
    }

    [Theory]
    [InlineData(null, "openssl")]
    [InlineData("too short", "16 characters")]
    public void Several_machines_need_a_token_of_some_length(string? token, string hint)
    {
        var worker = new WorkerEnvironment { WorldSize = 2, MachineCount = 2, MasterAddress = "node0", Token = token };
        var error = Assert.Throws<InvalidOperationException>(() => RendezvousStore.Connect(worker, ServedStore.Patience));
        Assert.Contains(EnvironmentVariables.RendezvousToken, error.Message, StringComparison.Ordinal);
        Assert.Contains(hint, error.Message, StringComparison.Ordinal);
    }

    public void Dispose()
    {
        _stranger.Dispose();
        _served.Dispose();
    }
}

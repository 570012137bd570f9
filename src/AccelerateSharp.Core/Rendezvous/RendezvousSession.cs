using System.Globalization;
using System.Net;

namespace AccelerateSharp.Rendezvous;

/// <summary>The one request of a client that lasts as long as both sides live: each notices at once when the other is gone.</summary>
/// <remarks>Read on a thread of its own, so that news of a lost peer never waits for a thread pool that training keeps busy.</remarks>
internal sealed class RendezvousSession
{
    private static readonly TimeSpan _goodbye = TimeSpan.FromSeconds(2);

    private readonly Lock _gate = new();
    private readonly HttpClient _http;
    private readonly HttpResponseMessage _response;
    private readonly StreamReader _lines;
    private readonly CancellationTokenSource _peerLost = new();
    private readonly Thread _reader;
    private readonly SortedSet<int> _lostRanks = [];
    private volatile string? _reason;
    private volatile bool _isOver;
    private volatile bool _serverIsGone;

    private RendezvousSession(HttpClient http, HttpResponseMessage response, StreamReader lines, long id)
    {
        _http = http;
        _response = response;
        _lines = lines;
        Id = id;
        PeerLost = _peerLost.Token;
        _reader = new Thread(Listen) { IsBackground = true, Name = "rendezvous session" };
        _reader.Start();
    }

    public long Id { get; }

    public CancellationToken PeerLost { get; }

    public string? PeerLostReason => _reason;

    public IReadOnlyList<int> LostRanks
    {
        get
        {
            lock (_gate) return [.. _lostRanks];
        }
    }

    /// <summary>Opens a session; null where the server refuses the token.</summary>
    public static RendezvousSession? TryOpen(HttpClient http, int generation, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(timeout);
        using var request = new HttpRequestMessage(HttpMethod.Get, string.Create(CultureInfo.InvariantCulture, $"session?g={generation}"));
        var response = http.Send(request, HttpCompletionOption.ResponseHeadersRead, patience.Token);
        try
        {
            if (response.StatusCode == HttpStatusCode.Unauthorized)
            {
                response.Dispose();
                return null;
            }
            response.EnsureSuccessStatusCode();
            using var giveUp = patience.Token.Register(response.Dispose);
            var lines = new StreamReader(response.Content.ReadAsStream(patience.Token));
            var (what, id, _) = Parse(lines.ReadLine());
            return what == SessionEvents.Welcome
                ? new RendezvousSession(http, response, lines, id)
                : throw new IOException("what answers there is no rendezvous of this version");
        }
        catch
        {
            response.Dispose();
            throw;
        }
    }

    /// <summary>Says goodbye and ends.</summary>
    public void Leave()
    {
        var wasOver = _isOver;
        _isOver = true;
        if (!wasOver && !_serverIsGone)
        {
            try
            {
                using var patience = new CancellationTokenSource(_goodbye);
                using var request = new HttpRequestMessage(HttpMethod.Delete, string.Create(CultureInfo.InvariantCulture, $"session?id={Id}"));
                _http.Send(request, patience.Token).Dispose();
            }
            catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException)
            {
                // Nobody is left to say goodbye to.
            }
        }
        if (Thread.CurrentThread != _reader && !_reader.Join(_goodbye)) _response.Dispose();
    }

    private void Listen()
    {
        var end = "its connection ended";
        try
        {
            while (_lines.ReadLine() is { } line)
            {
                var (what, rank, text) = Parse(line);
                if (what == SessionEvents.Farewell) _isOver = true;
                if (what == SessionEvents.Lost) Lose((int)rank, "ended without a goodbye: it crashed or was killed");
                if (what == SessionEvents.Failed) Lose((int)rank, $"failed with {text}");
            }
        }
        catch (Exception e) when (e is IOException or HttpRequestException or ObjectDisposedException or OperationCanceledException)
        {
            end = e.GetBaseException().Message;
        }
        _serverIsGone = true;
        if (!_isOver)
            Tell($"the rendezvous at {_http.BaseAddress!.Authority} is gone ({end}): the launcher, or rank 0 where there is none, ended without a goodbye");
        _response.Dispose();
    }

    private void Lose(int rank, string how)
    {
        lock (_gate) _lostRanks.Add(rank);
        Tell($"rank {rank} {how}");
    }

    /// <summary>The first reason is the one that counts.</summary>
    private void Tell(string reason)
    {
        if (_reason is not null || _isOver) return;
        _reason = reason;
        _peerLost.Cancel();
    }

    private static (string What, long Number, string Text) Parse(string? line)
    {
        var words = (line ?? "").Split(' ', 3);
        return words.Length < 3 ? (words[0], 0, "") : (words[0], long.Parse(words[1], CultureInfo.InvariantCulture), words[2]);
    }
}

using AccelerateSharp.Launch;
using AccelerateSharp.Rendezvous;

namespace AccelerateSharp.Core.Tests.Rendezvous;

public sealed class MembershipTests
{
    private readonly List<(int Generation, int Rank)> _lost = [];
    private readonly Membership _members;

    public MembershipTests() => _members = new Membership((generation, rank) => _lost.Add((generation, rank)));

    [Fact]
    public void A_rank_that_ends_without_a_word_suffered_from_the_one_that_was_lost_before()
    {
        var (_, second) = (Join(0, rank: 0), Join(0, rank: 1));
        _members.Disconnected(second);
        Assert.Equal([(0, 1)], _lost);
        Assert.True(_members.FailureOf(0, 0)?.IsConsequence);
        Assert.Null(_members.FailureOf(0, 1));
        // Another attempt is another matter.
        Assert.Null(_members.FailureOf(1, 0));
    }

    [Fact]
    public void A_rank_that_says_itself_that_it_only_noticed_is_nobodys_cause()
    {
        var (_, second) = (Join(0, rank: 0), Join(0, rank: 1));
        var words = new FailureReport(IsConsequence: true, "rank 1 does not answer");
        _members.Fail(0, 0, words);
        Assert.Equal(words, _members.FailureOf(0, 0));
        Assert.Null(_members.FailureOf(0, 1));
        _members.Disconnected(second);
        Assert.Null(_members.FailureOf(0, 1));
    }

    private Membership.Session Join(int generation, int rank)
    {
        var session = _members.Open(generation);
        Assert.Null(_members.Join(session.Id, rank));
        return session;
    }
}

using AccelerateSharp.Cli.Configuration;

namespace AccelerateSharp.Cli.Tests;

/// <summary>Answers to questions, by a part of the question; every other question gets its default.</summary>
internal sealed class Answers(params (string Question, string Answer)[] answers) : IQuestions
{
    private readonly List<(string Question, string Answer)> _left = [.. answers];

    /// <summary>All that was asked.</summary>
    public List<string> Asked { get; } = [];

    public int Choose(string question, IReadOnlyList<string> choices, int defaultIndex = 0)
    {
        if (Take(question) is not { } answer) return defaultIndex;
        var index = choices.ToList().IndexOf(answer);
        return index >= 0 ? index : throw new ArgumentException($"'{answer}' is none of {string.Join(", ", choices)}.");
    }

    public string Ask(string question, string? defaultAnswer, Func<string, string?> problemOf)
    {
        var answer = Take(question) ?? defaultAnswer ?? throw new ArgumentException($"'{question}' has no default.");
        return problemOf(answer) is { } problem ? throw new ArgumentException($"{question} {answer}: {problem}") : answer;
    }

    public void AssertAllWereUsed() => Assert.Empty(_left);

    private string? Take(string question)
    {
        Asked.Add(question);
        var index = _left.FindIndex(answer => question.Contains(answer.Question, StringComparison.Ordinal));
        if (index < 0) return null;
        var found = _left[index].Answer;
        _left.RemoveAt(index);
        return found;
    }
}

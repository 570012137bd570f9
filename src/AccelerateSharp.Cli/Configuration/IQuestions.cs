namespace AccelerateSharp.Cli.Configuration;

/// <summary>Somebody who answers questions; each is asked again until its answer makes sense.</summary>
internal interface IQuestions
{
    /// <summary>Asks for one of several things; returns its index.</summary>
    int Choose(string question, IReadOnlyList<string> choices, int defaultIndex = 0);

    /// <summary>Asks for text.</summary>
    /// <param name="question">The question.</param>
    /// <param name="defaultAnswer">What an empty answer means; null where there has to be one.</param>
    /// <param name="problemOf">What is wrong with an answer, or null.</param>
    string Ask(string question, string? defaultAnswer, Func<string, string?> problemOf);
}

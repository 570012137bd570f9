using System.Globalization;

namespace AccelerateSharp.Cli.Configuration;

/// <summary>Questions for more than text.</summary>
internal static class QuestionsExtensions
{
    public static string Ask(this IQuestions questions, string question, string? defaultAnswer = null) =>
        questions.Ask(question, defaultAnswer, answer => answer.Length == 0 ? "Please type an answer." : null);

    /// <summary>One of several words.</summary>
    public static string Pick(this IQuestions questions, string question, IReadOnlyList<string> words, string defaultWord) =>
        words[questions.Choose(question, words, words.ToList().IndexOf(defaultWord))];

    public static bool Confirm(this IQuestions questions, string question, bool defaultAnswer = false)
    {
        var answer = questions.Ask(question + " (yes/no)", defaultAnswer ? "yes" : "no", text => IsYes(text) || IsNo(text) ? null : "Please answer yes or no.");
        return IsYes(answer);
    }

    public static int Whole(this IQuestions questions, string question, int defaultAnswer, int minimum, Func<int, string?>? problemOf = null)
    {
        var answer = questions.Ask(question, Text(defaultAnswer), text =>
            !int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? $"'{text}' is not a whole number."
            : number < minimum ? $"{Text(number)} is below {Text(minimum)}."
            : problemOf?.Invoke(number));
        return int.Parse(answer, CultureInfo.InvariantCulture);
    }

    public static double Real(this IQuestions questions, string question, double defaultAnswer)
    {
        var answer = questions.Ask(question, defaultAnswer.ToString("0.0###", CultureInfo.InvariantCulture), text =>
            double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && double.IsFinite(number) && number >= 0
                ? null : $"'{text}' is not a number of at least 0.");
        return double.Parse(answer, CultureInfo.InvariantCulture);
    }

    private static bool IsYes(string text) => text.Equals("yes", StringComparison.OrdinalIgnoreCase) || text.Equals("y", StringComparison.OrdinalIgnoreCase);

    private static bool IsNo(string text) => text.Equals("no", StringComparison.OrdinalIgnoreCase) || text.Equals("n", StringComparison.OrdinalIgnoreCase);

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}

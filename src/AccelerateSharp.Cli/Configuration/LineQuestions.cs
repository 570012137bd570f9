using System.Globalization;

namespace AccelerateSharp.Cli.Configuration;

/// <summary>Questions and answers as plain lines: for scripts, pipes and terminals that know no more.</summary>
internal sealed class LineQuestions(TextReader input, TextWriter output) : IQuestions
{
    public int Choose(string question, IReadOnlyList<string> choices, int defaultIndex = 0)
    {
        output.WriteLine(question);
        for (var i = 0; i < choices.Count; i++) output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {i}  {choices[i]}"));
        var answer = Read(question, "Number or name:", defaultIndex.ToString(CultureInfo.InvariantCulture), text =>
            IndexOf(text) < 0 ? string.Create(CultureInfo.InvariantCulture, $"'{text}' is none of them: type 0 to {choices.Count - 1}, or a name.") : null);
        return IndexOf(answer);

        int IndexOf(string text) =>
            int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var index) && index < choices.Count ? index
            : choices.ToList().FindIndex(choice => choice.Equals(text, StringComparison.OrdinalIgnoreCase));
    }

    public string Ask(string question, string? defaultAnswer, Func<string, string?> problemOf) => Read(question, question, defaultAnswer, problemOf);

    private string Read(string question, string prompt, string? defaultAnswer, Func<string, string?> problemOf)
    {
        while (true)
        {
            output.Write(defaultAnswer is null ? $"{prompt} " : $"{prompt} [{defaultAnswer}] ");
            output.Flush();
            var line = input.ReadLine();
            if (line is null)
            {
                output.WriteLine();
                throw new UserErrorException($"The input ended before the question '{question}' was answered; nothing was written.");
            }
            var answer = line.Trim() is { Length: > 0 } typed ? typed : defaultAnswer ?? "";
            if (problemOf(answer) is not { } problem) return answer;
            output.WriteLine(problem);
        }
    }
}

using Spectre.Console;

namespace AccelerateSharp.Cli.Configuration;

/// <summary>Questions at a terminal: menus that the arrow keys move through.</summary>
internal sealed class TerminalQuestions(IAnsiConsole console) : IQuestions
{
    public int Choose(string question, IReadOnlyList<string> choices, int defaultIndex = 0)
    {
        var prompt = new SelectionPrompt<int> { Title = Markup.Escape(question), PageSize = Math.Max(3, choices.Count), WrapAround = true, Converter = index => Markup.Escape(choices[index]) };
        for (var i = 0; i < choices.Count; i++) prompt.AddChoice(i);
        prompt.DefaultValue(defaultIndex);
        var chosen = console.Prompt(prompt);
        // The menu is gone from the screen by now; what was chosen stays.
        console.MarkupLineInterpolated($"{question} [blue]{choices[chosen]}[/]");
        return chosen;
    }

    public string Ask(string question, string? defaultAnswer, Func<string, string?> problemOf)
    {
        var prompt = new TextPrompt<string>(Markup.Escape(question)) { AllowEmpty = true };
        if (defaultAnswer is not null) prompt.DefaultValue(defaultAnswer);
        prompt.Validate(answer => problemOf(answer.Trim()) is { } problem ? ValidationResult.Error($"[red]{Markup.Escape(problem)}[/]") : ValidationResult.Success());
        return console.Prompt(prompt).Trim();
    }
}

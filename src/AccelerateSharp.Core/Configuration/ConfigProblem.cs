using System.Globalization;

namespace AccelerateSharp.Configuration;

/// <summary>One thing that is wrong with a configuration file, or that is not going to have the effect that it seems to have.</summary>
/// <param name="IsError">Whether the file cannot be used as it is.</param>
/// <param name="File">The file.</param>
/// <param name="Line">The line, from 1.</param>
/// <param name="Message">What is wrong, and what to write instead.</param>
internal sealed record ConfigProblem(bool IsError, string File, int Line, string Message)
{
    /// <summary>The problem in the form that editors and terminals turn into a link.</summary>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{File}:{Line}: {(IsError ? "error" : "warning")}: {Message}");
}

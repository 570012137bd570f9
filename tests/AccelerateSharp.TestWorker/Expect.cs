namespace AccelerateSharp.TestWorker;

/// <summary>Assertions that say which of a scenario's many checks failed.</summary>
internal static class Expect
{
    public static void True(bool condition, string what)
    {
        if (!condition) throw new InvalidOperationException($"Not so: {what}.");
    }

    /// <summary>Equal within a relative tolerance, absolute below one.</summary>
    public static void Close(double expected, double actual, double tolerance, string what)
    {
        if (!(Math.Abs(expected - actual) <= tolerance * Math.Max(1, Math.Abs(expected))))
            throw new InvalidOperationException($"{what}: expected {expected:R}, got {actual:R}.");
    }

    public static void Equal<T>(T expected, T actual, string what)
        where T : struct => True(EqualityComparer<T>.Default.Equals(expected, actual), $"{what}: expected {expected}, got {actual}");

    public static void Equal<T>(IEnumerable<T> expected, IEnumerable<T> actual, string what)
    {
        T[] left = [.. expected], right = [.. actual];
        True(left.SequenceEqual(right), $"{what}: expected [{string.Join(", ", left)}], got [{string.Join(", ", right)}]");
    }

    /// <summary>The message of the exception that an action must throw.</summary>
    public static string Throws<TException>(Action action)
        where TException : Exception
    {
        try
        {
            action();
        }
        catch (TException exception)
        {
            return exception.Message;
        }

        throw new InvalidOperationException($"No {typeof(TException).Name} was thrown.");
    }
}

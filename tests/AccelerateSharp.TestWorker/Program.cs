using System.Reflection;

namespace AccelerateSharp.TestWorker;

/// <summary>Runs one scenario as one rank: <c>dotnet AccelerateSharp.TestWorker.dll NAME args</c>, the rank in the environment.</summary>
internal static class Program
{
    private static int Main(string[] args)
    {
        var scenarios = typeof(Program).Assembly.GetTypes()
            .SelectMany(t => t.GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic))
            .Where(m => m.GetCustomAttribute<ScenarioAttribute>() is not null)
            .ToDictionary(m => m.Name, StringComparer.Ordinal);
        if (args.Length == 0 || !scenarios.TryGetValue(args[0], out var scenario))
        {
            Console.Error.WriteLine($"Scenarios: {string.Join(", ", scenarios.Keys.Order(StringComparer.Ordinal))}");
            return 2;
        }
        try
        {
            using var context = new WorkerContext(args[1..]);
            scenario.Invoke(null, scenario.GetParameters().Length == 0 ? null : [context]);
            return 0;
        }
        catch (Exception e)
        {
            Console.Error.WriteLine(e is TargetInvocationException { InnerException: { } inner } ? inner : e);
            return 1;
        }
    }
}

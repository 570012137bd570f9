using System.CommandLine;
using System.CommandLine.Help;
using AccelerateSharp.Cli.Commands;
using AccelerateSharp.Cli.Help;

namespace AccelerateSharp.Cli;

/// <summary>The <c>accelerate</c> command line.</summary>
internal static class CommandLine
{
    /// <summary>All commands, with their options.</summary>
    public static RootCommand Commands()
    {
        var root = new RootCommand("Runs a training program on one or many processes, devices and machines.")
        {
            ConfigCommand.Create(),
            EnvCommand.Create(),
            LaunchCommand.Create(),
            TestCommand.Create(),
            EstimateMemoryCommand.Create(),
            ToFsdp2Command.Create(),
        };
        root.Options.OfType<HelpOption>().Single().Action = new HelpTextAction();
        root.SetAction(parsed =>
        {
            new HelpTextAction().Invoke(parsed);
            return 1;
        });
        return root;
    }

    public static int Run(IReadOnlyList<string> arguments)
    {
        // An argument such as @file belongs to the program that is launched.
        var parsed = Commands().Parse(arguments, new ParserConfiguration { ResponseFileTokenReplacer = null, EnablePosixBundling = false });
        try
        {
            return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false });
        }
        catch (UserErrorException e)
        {
            Console.Error.WriteLine("accelerate: " + e.Message);
            return 1;
        }
    }
}

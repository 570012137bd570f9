using System.CommandLine;
using System.CommandLine.Invocation;

namespace AccelerateSharp.Cli.Help;

/// <summary>Prints the help page of the command that was named.</summary>
internal sealed class HelpTextAction : SynchronousCommandLineAction
{
    public override bool Terminating => true;

    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        parseResult.InvocationConfiguration.Output.Write(HelpText.Of(parseResult.CommandResult.Command, parseResult));
        return 0;
    }
}

using AccelerateSharp.Cli;

return CommandLine.Run(args);

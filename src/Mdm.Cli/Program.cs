using Mdm.Cli;

return Shell.Run(args);

using Mdm.Kernels;

namespace Mdm.Cli;

/// <summary>Prompts from a text file.</summary>
internal static class PromptList
{
    /// <summary>One prompt a line; empty lines are left out.</summary>
    public static IReadOnlyList<string> Read(string path)
    {
        string[] lines;
        try
        {
            lines = File.ReadAllLines(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MdmException($"cannot read the prompts in {path}: {e.Message}", e);
        }

        string[] prompts = lines.Select(line => line.Trim()).Where(line => line.Length > 0).ToArray();
        return prompts.Length > 0 ? prompts : throw new MdmException($"{path} holds no prompt, expected one a line");
    }
}

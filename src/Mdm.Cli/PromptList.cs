using Mdm.Kernels;
using Mdm.Tensors.Formats;

namespace Mdm.Cli;

/// <summary>Prompts from a file.</summary>
internal static class PromptList
{
    private const string Table = ".tsv";

    private static readonly string[] s_columns = ["prompt", "caption"];

    /// <summary>One prompt a line, or the column <c>prompt</c>, else <c>caption</c>, of a <c>.tsv</c> file; empty ones are left
    /// out.</summary>
    /// <exception cref="MdmException">The file cannot be read, has no such column, or holds no prompt.</exception>
    public static IReadOnlyList<string> Read(string path)
    {
        bool isTable = Path.GetExtension(path).Equals(Table, StringComparison.OrdinalIgnoreCase);
        string[] prompts = (isTable ? Column(path) : Lines(path))
            .Select(prompt => prompt.Trim()).Where(prompt => prompt.Length > 0).ToArray();
        return prompts.Length > 0 ? prompts
            : throw new MdmException($"{path} holds no prompt, expected one a {(isTable ? "row" : "line")}");
    }

    private static IEnumerable<string> Column(string path)
    {
        TsvFile table = TsvFile.Read(path);
        string column = s_columns.FirstOrDefault(name => table.Find(name) >= 0) ?? throw new MdmException(
            $"{path}: found the columns {string.Join(", ", table.Columns)}, expected one named {string.Join(" or ", s_columns)}");
        return table.Rows.Select(row => row[column]);
    }

    private static string[] Lines(string path)
    {
        try
        {
            return File.ReadAllLines(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MdmException($"cannot read the prompts in {path}: {e.Message}", e);
        }
    }
}

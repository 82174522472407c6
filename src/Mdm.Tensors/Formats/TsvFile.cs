using System.Text;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats;

/// <summary>A table of tab-separated values with a header row, in memory. A value that begins with a double quote ends at the
/// next single one: it may hold tabs and line ends, and two quotes stand for one.</summary>
public sealed class TsvFile
{
    private readonly string[] columns;
    private readonly List<TsvRow> rows = [];

    private TsvFile(string path, string text)
    {
        Path = path;
        int at = text.StartsWith('\ufeff') ? 1 : 0, line = 1;
        if (text.Length == at)
            throw new MdmException($"{path} is empty, expected a header row");
        columns = Record(text, ref at, ref line);
        for (int i = 0; i < columns.Length; i++)
            if (columns[i].Length == 0 || Array.IndexOf(columns, columns[i]) != i)
                throw new MdmException($"{path}, line 1: column {i + 1} is named '{columns[i]}', expected a name of its own");
        while (at < text.Length)
        {
            int first = line;
            string[] values = Record(text, ref at, ref line);
            if (values is [""])
                continue;
            if (values.Length != columns.Length)
                throw new MdmException($"{path}, line {first}: found {values.Length} values, expected {columns.Length} "
                    + $"({string.Join(", ", columns)})");
            rows.Add(new TsvRow(this, first, values));
        }
    }

    public string Path { get; }

    public IReadOnlyList<string> Columns => columns;

    public IReadOnlyList<TsvRow> Rows => rows;

    /// <summary>Reads a file (UTF-8).</summary>
    /// <exception cref="MdmException">The file cannot be read, a row has another number of values than the header, or a quote
    /// is not closed; the message names the line.</exception>
    public static TsvFile Read(string path)
    {
        try
        {
            return new TsvFile(path, File.ReadAllText(path, Encoding.UTF8));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MdmException($"cannot read {path}: {e.Message}", e);
        }
    }

    /// <summary>One row of a file to write: values quoted where they need it.</summary>
    public static string Line(params ReadOnlySpan<string> values)
    {
        var line = new StringBuilder();
        for (int i = 0; i < values.Length; i++)
        {
            string value = values[i];
            bool quoted = value.AsSpan().ContainsAny("\t\r\n") || value.StartsWith('"');
            line.Append(i > 0 ? "\t" : "").Append(quoted ? $"\"{value.Replace("\"", "\"\"")}\"" : value);
        }

        return line.Append('\n').ToString();
    }

    /// <summary>The place of a column, or -1.</summary>
    public int Find(string column) => Array.IndexOf(columns, column);

    /// <summary>The place of a column.</summary>
    /// <exception cref="MdmException">There is no such column.</exception>
    public int Require(string column) => Find(column) is >= 0 and int place
        ? place
        : throw new MdmException($"{Path}: column '{column}' is missing, found {string.Join(", ", columns)}");

    private string[] Record(string text, ref int at, ref int line)
    {
        var values = new List<string>();
        while (true)
        {
            values.Add(Value(text, ref at, ref line));
            if (at == text.Length || text[at] != '\t')
                break;
            at++;
        }

        if (at < text.Length && text[at] == '\r')
            at++;
        if (at < text.Length && text[at] == '\n')
            at++;
        line++;
        return [.. values];
    }

    private string Value(string text, ref int at, ref int line)
    {
        int start = at;
        if (at == text.Length || text[at] != '"')
        {
            at = End(text, at);
            return text[start..at];
        }

        var value = new StringBuilder();
        int first = line;
        while (true)
        {
            at++;
            int quote = text.IndexOf('"', at);
            if (quote < 0)
                throw new MdmException($"{Path}, line {first}: a value begins with a quote that is not closed");
            value.Append(text, at, quote - at);
            line += text.AsSpan(at, quote - at).Count('\n');
            at = quote + 1;
            if (at == text.Length || text[at] != '"')
                break;
            value.Append('"');
        }

        start = at;
        at = End(text, at);
        // Text after the closing quote belongs to the value, as spreadsheets read it.
        return value.Append(text, start, at - start).ToString();
    }

    /// <summary>Where an unquoted value ends: at a tab, a line end or the end of the text.</summary>
    private static int End(string text, int at)
    {
        int length = text.AsSpan(at).IndexOfAny('\t', '\n');
        int end = length < 0 ? text.Length : at + length;
        bool beforeLineEnd = end == text.Length || text[end] == '\n';
        return beforeLineEnd && end > at && text[end - 1] == '\r' ? end - 1 : end;
    }
}

/// <summary>The values of a row by name of the column.</summary>
/// <param name="File">The table.</param>
/// <param name="Number">Line in the file, from 1.</param>
/// <param name="Values">As many as the table has columns.</param>
public sealed record TsvRow(TsvFile File, int Number, IReadOnlyList<string> Values)
{
    /// <exception cref="MdmException">There is no such column.</exception>
    public string this[string column] => Values[File.Require(column)];
}

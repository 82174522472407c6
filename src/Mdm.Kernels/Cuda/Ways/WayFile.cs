using System.Text;

namespace Mdm.Kernels.Cuda.Ways;

/// <summary>Choices on disk: a text file with a line for each shape, that may be read, edited and deleted. Lines that make no sense
/// are passed over. A folder that cannot be written only means that nothing is kept. Several processes may use a file at once:
/// it is replaced as a whole, and what somebody else has written into it stays.</summary>
/// <param name="path">Made at the first entry.</param>
/// <param name="title">What the choices hold for, in one line.</param>
internal sealed class WayFile(string path, string title)
{
    private const string Separator = " = ";
    private Dictionary<string, Way>? known;

    /// <summary>Where it is.</summary>
    public string Path => path;

    /// <summary>The choice for a shape; null if there is none.</summary>
    public Way? Find(string shape) => (known ??= Read()).TryGetValue(shape, out Way way) ? way : null;

    /// <summary>Keeps a choice, if the file can be written.</summary>
    /// <returns>The choice that holds: another process may have made one meanwhile.</returns>
    public Way Add(string shape, Way way)
    {
        known ??= [];
        known[shape] = way;
        foreach ((string other, Way theirs) in Read())
            known[other] = theirs;
        var text = new StringBuilder($"# {title}\n");
        foreach ((string line, Way choice) in known.OrderBy(entry => entry.Key, StringComparer.Ordinal))
            text.Append(line).Append(Separator).Append(choice).Append('\n');
        CacheFile.TryReplace(path, file => file.Write(Encoding.UTF8.GetBytes(text.ToString())));
        return known[shape];
    }

    private Dictionary<string, Way> Read()
    {
        var found = new Dictionary<string, Way>();
        try
        {
            if (!File.Exists(path))
                return found;
            foreach (string line in File.ReadLines(path))
            {
                int at = line.LastIndexOf(Separator, StringComparison.Ordinal);
                if (at > 0 && Way.TryParse(line[(at + Separator.Length)..], out Way way))
                    found[line[..at]] = way;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // As if there were none: what is needed is measured again.
        }

        return found;
    }
}

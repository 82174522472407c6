using System.Reflection;
using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Cuda;

/// <summary>The texts of <c>kernels/</c>: those inside this program, or a folder of <c>*.cu</c> that <c>MDM_KERNELS</c>
/// names.</summary>
internal sealed class KernelSources
{
    /// <summary>Names a folder that takes the place of the sources inside the program, for who works on kernels.</summary>
    public const string Variable = "MDM_KERNELS";

    private const string Prefix = "kernels/";
    private const string IncludePrefix = "kernels/include/";

    private readonly string? folder;

    /// <param name="folder">A folder of sources with a folder <c>include</c>; null: those inside the program.</param>
    /// <exception cref="MdmException">There is no such folder.</exception>
    public KernelSources(string? folder)
    {
        this.folder = folder;
        if (folder != null && !Directory.Exists(folder))
            throw new MdmException($"{Variable}: '{folder}' is no folder, expected one with .cu files and a folder include");
        Headers = folder == null
            ? [.. Embedded(IncludePrefix).Select(name => new SourceText(name[IncludePrefix.Length..], Read(name)))]
            : [.. HeaderFiles(folder).Select(file => new SourceText(Path.GetFileName(file), File.ReadAllText(file)))];
    }

    /// <summary>What <c>MDM_KERNELS</c> asks for.</summary>
    public static KernelSources Default() =>
        new(Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } folder ? folder : null);

    /// <summary>All files that a source may include, by name.</summary>
    public IReadOnlyList<SourceText> Headers { get; }

    /// <summary>The text of a file, e.g. <c>groupnorm.cu</c>.</summary>
    /// <exception cref="MdmException">There is no such file.</exception>
    public SourceText this[string file]
    {
        get
        {
            if (folder == null)
                return new SourceText(file, Read(Prefix + file));
            string path = Path.Combine(folder, file);
            return File.Exists(path)
                ? new SourceText(file, File.ReadAllText(path))
                : throw new MdmException($"{path}: there is no such kernel source");
        }
    }

    private static IEnumerable<string> HeaderFiles(string folder)
    {
        string include = Path.Combine(folder, "include");
        return Directory.Exists(include) ? Directory.GetFiles(include, "*.cuh").Order(StringComparer.Ordinal) : [];
    }

    private static IEnumerable<string> Embedded(string prefix) => Assembly.GetExecutingAssembly().GetManifestResourceNames()
        .Where(name => name.StartsWith(prefix, StringComparison.Ordinal)).Order(StringComparer.Ordinal);

    private static string Read(string resource)
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(resource)
            ?? throw new MdmException($"{resource}: there is no such kernel source in this program");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}

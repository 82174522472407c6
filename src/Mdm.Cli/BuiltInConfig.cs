using Mdm.Kernels;

namespace Mdm.Cli;

/// <summary>Configurations that lie beside the program.</summary>
internal static class BuiltInConfig
{
    /// <summary>The path of one of them.</summary>
    /// <exception cref="MdmException">The program was copied without it.</exception>
    public static string Path(string name)
    {
        string path = System.IO.Path.Combine(AppContext.BaseDirectory, "configs", name);
        return File.Exists(path)
            ? path
            : throw new MdmException($"{path} is missing: the program was copied without its configs folder");
    }
}

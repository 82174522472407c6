using Mdm.Kernels;

namespace Mdm.Cli;

/// <summary>The small trained model that lies beside the program.</summary>
internal static class ShippedModel
{
    private const string Folder = "models/shapes", File = "shapes.safetensors";

    /// <summary>Its checkpoint.</summary>
    /// <exception cref="MdmException">The program was copied without it.</exception>
    public static string Find()
    {
        string path = Path.Combine(AppContext.BaseDirectory, Folder, File);
        return System.IO.File.Exists(path)
            ? path
            : throw new MdmException($"no --model-file is given, and the model that comes with the program is not at {path}");
    }
}

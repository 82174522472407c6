using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cuda.Native;

/// <summary>A native library in this process.</summary>
/// <param name="Handle">For <see cref="NativeLibrary"/>.</param>
/// <param name="Name">The path or name under which it was found.</param>
internal sealed record LoadedLibrary(nint Handle, string Name)
{
    /// <summary>The first of these files or names that can be loaded; null if none can.</summary>
    public static LoadedLibrary? First(IEnumerable<string> candidates)
    {
        foreach (string name in candidates)
        {
            if (NativeLibrary.TryLoad(name, out nint handle))
                return new LoadedLibrary(handle, name);
        }

        return null;
    }

    /// <exception cref="MdmException">The library has no such function.</exception>
    public nint Function(string name) => FunctionIfThere(name) is var address and not 0
        ? address
        : throw new MdmException($"{Name}: it has no function {name}; this program needs CUDA 11.4 or later");

    /// <summary>0 if the library has no such function.</summary>
    public nint FunctionIfThere(string name) => NativeLibrary.TryGetExport(Handle, name, out nint address) ? address : 0;
}

using System.Reflection;
using System.Runtime.InteropServices;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats.Images;

/// <summary>The classic interface of libjpeg-turbo (turbojpeg.h). Handles are not shared between threads.</summary>
internal static unsafe partial class TurboJpeg
{
    public const int Rgb = 0;
    public const int Cmyk = 11;

    /// <summary>Colour spaces of a file, as TJCS names them.</summary>
    public const int FileIsCmyk = 3, FileIsYcck = 4;

    /// <summary>Refuses progressive files of absurdly many scans, which take hours to decode.</summary>
    public const int LimitScans = 32768;

    private const string Library = "turbojpeg";
    private static readonly string[] Names = ["libturbojpeg.so.0", "libturbojpeg.so", "turbojpeg.dll", "libturbojpeg.dylib"];
    private static readonly Lazy<nint> Loaded = new(Load);

    static TurboJpeg() => NativeLibrary.SetDllImportResolver(
        Assembly.GetExecutingAssembly(), (name, _, _) => name == Library ? Loaded.Value : 0);

    public static bool IsAvailable => Loaded.Value != 0;

    /// <exception cref="MdmException">The library is not installed; the message says how to install it.</exception>
    public static void Require()
    {
        if (!IsAvailable)
            throw new MdmException("JPEG pictures need libjpeg-turbo, which is not installed; on Debian and Ubuntu: "
                + "apt install libturbojpeg0 (Fedora: turbojpeg, macOS: brew install jpeg-turbo)");
    }

    [LibraryImport(Library, EntryPoint = "tjInitDecompress")]
    public static partial nint InitDecompress();

    [LibraryImport(Library, EntryPoint = "tjInitCompress")]
    public static partial nint InitCompress();

    [LibraryImport(Library, EntryPoint = "tjDestroy")]
    public static partial int Destroy(nint handle);

    [LibraryImport(Library, EntryPoint = "tjDecompressHeader3")]
    public static partial int DecompressHeader(
        nint handle, byte* jpeg, CULong size, out int width, out int height, out int subsampling, out int colorSpace);

    [LibraryImport(Library, EntryPoint = "tjDecompress2")]
    public static partial int Decompress(
        nint handle, byte* jpeg, CULong size, byte* pixels, int width, int pitch, int height, int pixelFormat, int flags);

    [LibraryImport(Library, EntryPoint = "tjCompress2")]
    public static partial int Compress(
        nint handle, byte* pixels, int width, int pitch, int height, int pixelFormat, ref nint jpeg, ref CULong size,
        int subsampling, int quality, int flags);

    [LibraryImport(Library, EntryPoint = "tjFree")]
    public static partial void Free(nint buffer);

    /// <summary>What went wrong last; of damage that the library read past, the last warning.</summary>
    public static string Error(nint handle) => Marshal.PtrToStringAnsi(GetErrorStr2(handle)) ?? "unknown error";

    [LibraryImport(Library, EntryPoint = "tjGetErrorStr2")]
    private static partial nint GetErrorStr2(nint handle);

    private static nint Load()
    {
        foreach (string name in Names)
            if (NativeLibrary.TryLoad(name, out nint handle))
                return handle;
        return 0;
    }
}

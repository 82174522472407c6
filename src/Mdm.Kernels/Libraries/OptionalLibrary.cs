using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Libraries;

/// <summary>A library of NVIDIA's that the program can do without.</summary>
/// <param name="Name">As people call it.</param>
/// <param name="Library">Null if it was not found.</param>
/// <param name="Version">Null if it was not found or does not tell.</param>
/// <param name="Missing">What its absence costs and what to install.</param>
internal sealed unsafe record OptionalLibrary(string Name, LoadedLibrary? Library, Version? Version, string Missing)
{
    /// <summary>Names a folder that is searched before all other places; with the emulator, the only one. <c>none</c>: nothing is
    /// searched.</summary>
    public const string Variable = "MDM_LIBRARIES";

    /// <summary>What it is used for, to go on with behind its name; may be empty.</summary>
    public string Use { get; init; } = "";

    /// <summary>Where it was loaded from; null if it was not found.</summary>
    public string? Path => Library?.Name;

    /// <summary>cuBLASLt 11 to 13.</summary>
    public static OptionalLibrary CublasLt() => Find("cuBLASLt", "cublas",
        OperatingSystem.IsWindows()
            ? ["cublasLt64_13.dll", "cublasLt64_12.dll", "cublasLt64_11.dll"]
            : ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11"],
        library => Number(library, "cublasLtGetVersion") is var n and > 0
            ? new Version((int)(n / 10000), (int)(n / 100 % 100), (int)(n % 100))
            : null,
        "own matrix products only, and no comparison with the library's; pip install nvidia-cublas-cu12") with
    {
        Use = "; computes matrix products where --kernels library or auto asks for it",
    };

    /// <summary>cuDNN 9: the part of it that has the graph API. The file <c>libcudnn.so.9</c> only passes calls on, and ends the
    /// process where it finds no part to pass them to.</summary>
    public static OptionalLibrary Cudnn() => Find("cuDNN", "cudnn",
        OperatingSystem.IsWindows() ? ["cudnn_graph64_9.dll"] : ["libcudnn_graph.so.9"],
        library => Number(library, "cudnnGetVersion") is var n and > 0
            ? new Version((int)(n / 10000), (int)(n / 100 % 100), (int)(n % 100))
            : null,
        "own convolutions only, and no comparison with the library's; pip install nvidia-cudnn-cu12") with
    {
        Use = "; computes convolutions where --kernels library or auto asks for it",
    };

    /// <summary>NCCL 2.</summary>
    public static OptionalLibrary Nccl() => Find("NCCL", "nccl",
        OperatingSystem.IsWindows() ? ["nccl.dll"] : ["libnccl.so.2"],
        library =>
        {
            var version = (delegate* unmanaged<int*, int>)library.FunctionIfThere("ncclGetVersion");
            int n = 0;
            return version == null || version(&n) != 0 ? null : new Version(n / 10000, n / 100 % 100, n % 100);
        },
        "nothing on one GPU; pip install nvidia-nccl-cu12");

    private static OptionalLibrary Find(string name, string wheel, string[] files, Func<LoadedLibrary, Version?> version,
        string missing)
    {
        IEnumerable<string> In(string folder) => files.Select(file => System.IO.Path.Combine(folder, file)).Where(File.Exists);
        string given = Environment.GetEnvironmentVariable(Variable) ?? "";
        IEnumerable<string> places = given.Length > 0 ? In(System.IO.Path.GetFullPath(given)) : [];
        if (given != "none" && !CudaLibraries.Emulated) // which no library of NVIDIA's can work with
            places = places.Concat(files).Concat(NvrtcSearch.LibraryFolders(wheel).SelectMany(In));
        LoadedLibrary? library = LoadedLibrary.First(places);
        return new OptionalLibrary(name, library, library == null ? null : version(library), missing);
    }

    private static long Number(LoadedLibrary library, string function)
    {
        var get = (delegate* unmanaged<nuint>)library.FunctionIfThere(function);
        return get == null ? 0 : (long)get();
    }
}

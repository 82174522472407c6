namespace Mdm.Kernels.Cuda;

/// <summary>One compilation of a file of <c>kernels/</c>.</summary>
/// <param name="File">E.g. <c>groupnorm.cu</c>.</param>
/// <param name="Defines">Preprocessor definitions, separated by blanks: <c>MDM_T=bf16 TILE=64</c>.</param>
/// <param name="MinimumCapability">Compute capability that the file needs, as 10·major + minor.</param>
internal readonly record struct KernelModule(string File, string Defines = "", int MinimumCapability = 80)
{
    /// <summary>The file compiled for activations of a type: <c>MDM_T=float</c> or <c>MDM_T=bf16</c>.</summary>
    public static KernelModule Of(string file, DType type) => new(file, type switch
    {
        DType.Float32 => "MDM_T=float",
        DType.BFloat16 => "MDM_T=bf16",
        _ => throw new MdmException($"{file}: no kernels for elements of type {type}, expected Float32 or BFloat16"),
    });

    /// <summary>Whether another module does the same where this one does not compile: the ones for Hopper alone.</summary>
    public bool Dispensable => MinimumCapability >= 90;

    /// <summary>Both compilations of a file.</summary>
    public static KernelModule[] BothTypes(string file) => [Of(file, DType.Float32), Of(file, DType.BFloat16)];
}

/// <summary>A kernel: its <c>extern "C"</c> name in a module.</summary>
internal readonly record struct KernelId(KernelModule Module, string Name);

/// <summary>Sizes of a grid or a block.</summary>
internal readonly record struct Dim3(int X, int Y = 1, int Z = 1)
{
    public static implicit operator Dim3(int x) => new(x);
}

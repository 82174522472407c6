using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Libraries;

/// <summary>The functions of cuBLASLt 11 to 13 that the program uses.</summary>
internal sealed unsafe class CublasLtNative(LoadedLibrary library)
{
    public readonly delegate* unmanaged<nint*, int> Create = (delegate* unmanaged<nint*, int>)library.Function("cublasLtCreate");
    public readonly delegate* unmanaged<nint, int> Destroy = (delegate* unmanaged<nint, int>)library.Function("cublasLtDestroy");

    public readonly delegate* unmanaged<nint*, int, int, int> MatmulDescCreate =
        (delegate* unmanaged<nint*, int, int, int>)library.Function("cublasLtMatmulDescCreate");

    public readonly delegate* unmanaged<nint, int> MatmulDescDestroy =
        (delegate* unmanaged<nint, int>)library.Function("cublasLtMatmulDescDestroy");

    public readonly delegate* unmanaged<nint, int, void*, nuint, int> MatmulDescSetAttribute =
        (delegate* unmanaged<nint, int, void*, nuint, int>)library.Function("cublasLtMatmulDescSetAttribute");

    public readonly delegate* unmanaged<nint*, int, ulong, ulong, long, int> MatrixLayoutCreate =
        (delegate* unmanaged<nint*, int, ulong, ulong, long, int>)library.Function("cublasLtMatrixLayoutCreate");

    public readonly delegate* unmanaged<nint, int> MatrixLayoutDestroy =
        (delegate* unmanaged<nint, int>)library.Function("cublasLtMatrixLayoutDestroy");

    public readonly delegate* unmanaged<nint*, int> PreferenceCreate =
        (delegate* unmanaged<nint*, int>)library.Function("cublasLtMatmulPreferenceCreate");

    public readonly delegate* unmanaged<nint, int> PreferenceDestroy =
        (delegate* unmanaged<nint, int>)library.Function("cublasLtMatmulPreferenceDestroy");

    public readonly delegate* unmanaged<nint, int, void*, nuint, int> PreferenceSetAttribute =
        (delegate* unmanaged<nint, int, void*, nuint, int>)library.Function("cublasLtMatmulPreferenceSetAttribute");

    /// <summary>handle, operation, layouts of A, B, C, D, preference, results wanted, results, results found.</summary>
    public readonly delegate* unmanaged<nint, nint, nint, nint, nint, nint, nint, int, LtHeuristic*, int*, int> Heuristic =
        (delegate* unmanaged<nint, nint, nint, nint, nint, nint, nint, int, LtHeuristic*, int*, int>)
        library.Function("cublasLtMatmulAlgoGetHeuristic");

    /// <summary>handle, operation, α, A and its layout, B and its layout, β, C and its layout, D and its layout, algorithm,
    /// workspace, its bytes, stream.</summary>
    public readonly delegate* unmanaged<nint, nint, float*, nint, nint, nint, nint, float*, nint, nint, nint, nint, LtAlgorithm*, nint,
        nuint, nint, int> Matmul =
        (delegate* unmanaged<nint, nint, float*, nint, nint, nint, nint, float*, nint, nint, nint, nint, LtAlgorithm*, nint, nuint,
            nint, int>)library.Function("cublasLtMatmul");
}

/// <summary>cublasLtMatmulAlgo_t.</summary>
[InlineArray(8)]
internal struct LtAlgorithm
{
    private ulong _first;
}

/// <summary>cublasLtMatmulHeuristicResult_t.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct LtHeuristic
{
    public LtAlgorithm Algorithm;
    public nuint Workspace;
    public int State;
    public float Waves;
    public FourInts Reserved;

    [InlineArray(4)]
    internal struct FourInts
    {
        private int _first;
    }
}

/// <summary>cublasStatus_t, as far as the program tells codes apart.</summary>
internal static class LtStatus
{
    public const int Success = 0;
    private const int AllocFailed = 3, ArchMismatch = 8, NotSupported = 15;

    /// <summary>Whether nothing was done, because the library cannot do it here.</summary>
    public static bool IsRefusal(int code) => code is AllocFailed or ArchMismatch or NotSupported;

    /// <summary>A code in words.</summary>
    public static string Words(int code) => code switch
    {
        1 => "CUBLAS_STATUS_NOT_INITIALIZED (no GPU, or a driver that is too old for this library)",
        AllocFailed => "CUBLAS_STATUS_ALLOC_FAILED (too little memory)",
        7 => "CUBLAS_STATUS_INVALID_VALUE",
        ArchMismatch => "CUBLAS_STATUS_ARCH_MISMATCH (the library does not know this GPU)",
        11 => "CUBLAS_STATUS_MAPPING_ERROR",
        13 => "CUBLAS_STATUS_EXECUTION_FAILED",
        14 => "CUBLAS_STATUS_INTERNAL_ERROR",
        NotSupported => "CUBLAS_STATUS_NOT_SUPPORTED",
        16 => "CUBLAS_STATUS_LICENSE_ERROR",
        _ => $"status {code}",
    };
}

/// <summary>cublasLtMatmulDescAttributes_t.</summary>
internal enum LtOperation
{
    TransposeA = 3,
    TransposeB = 4,
    Epilogue = 7,
    BiasPointer = 8,
}

/// <summary>cublasLtMatmulPreferenceAttributes_t.</summary>
internal enum LtPreference
{
    MaxWorkspace = 1,
    ReductionSchemes = 3,
    AlignmentA = 5,
    AlignmentB = 6,
    AlignmentC = 7,
    AlignmentD = 8,
}

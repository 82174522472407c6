using Mdm.Kernels.Cuda.Native;
using Mdm.Kernels.Cuda.Ways;

namespace Mdm.Kernels.Libraries;

/// <summary>A product of row-major matrices: D[M,N] = op(A)[M,K] · op(B)[K,N] + β C[M,N] (+ bias[N] to every row).</summary>
/// <param name="Shape">Sizes; C and D lie alike.</param>
/// <param name="Operands">Type of A and B.</param>
/// <param name="Result">Type of C and D: that of the operands, or float32.</param>
/// <param name="Tf32">Whether float32 operands may be rounded to TF32.</param>
/// <param name="Bias">Whether there is a bias, float32; only with float32 results.</param>
/// <param name="Alignment">Bytes that all addresses are multiples of.</param>
internal readonly record struct LtProduct(MatMulShape Shape, DType Operands, DType Result, bool Tf32, bool Bias, int Alignment);

/// <summary>cuBLASLt on the GPU whose context is current. Not safe for several threads: the stream's lock is held around
/// <see cref="Multiply"/>.</summary>
internal sealed unsafe class CublasLt : IDisposable
{
    private const ulong MostWorkspace = 32 << 20; // what NVIDIA recommends for Hopper
    private const int Float32 = 0, BFloat16 = 14; // cudaDataType
    private const int Compute32F = 68, Compute32FTf32 = 77; // cublasComputeType_t
    private const int EpilogueBias = 4;
    private const uint ReduceInComputeType = 2; // parts of a sum are added in float32

    private readonly CublasLtNative native;
    private readonly List<LtPlan> plans = [];
    private nint handle;

    private CublasLt(CublasLtNative native, nint handle, string version) =>
        (this.native, this.handle, Version) = (native, handle, version);

    /// <summary>E.g. <c>12.4.5</c>.</summary>
    public string Version { get; }

    /// <summary>Starts the library.</summary>
    /// <param name="found">What was found.</param>
    /// <param name="problem">Why it does not start, in a sentence; null if it does, or is not there.</param>
    /// <returns>Null if it cannot be used.</returns>
    public static CublasLt? Open(OptionalLibrary found, out string? problem)
    {
        problem = null;
        if (found.Library is not { } library)
            return null;
        string version = found.Version?.ToString() ?? "of unknown version";
        try
        {
            var native = new CublasLtNative(library);
            nint handle;
            int code = native.Create(&handle);
            if (code == LtStatus.Success)
                return new CublasLt(native, handle, version);
            problem = $"cuBLASLt {version} ({library.Name}) does not start: cublasLtCreate failed with {LtStatus.Words(code)}";
        }
        catch (MdmException e) // it lacks a function
        {
            problem = $"cuBLASLt {version} cannot be used: {e.Message}";
        }

        return null;
    }

    /// <summary>How the library would compute a product; null if it knows no way. Plans live as long as the library.</summary>
    public LtPlan? Plan(in LtProduct product)
    {
        var plan = new LtPlan();
        plans.Add(plan);
        return Describe(product, plan) ? plan : null;
    }

    /// <summary>Queues a product.</summary>
    /// <param name="plan">Of <see cref="Plan"/>.</param>
    /// <param name="proposal">Which of its <see cref="LtPlan.Proposals"/>.</param>
    /// <param name="beta">0, or 1: C is added.</param>
    /// <param name="c">What is added; may be <paramref name="d"/>.</param>
    /// <param name="bias">0 without one.</param>
    /// <param name="workspace">Of the bytes that the proposal wants.</param>
    /// <param name="stream">CUstream.</param>
    /// <returns>False if the library cannot after all; then nothing was queued.</returns>
    /// <exception cref="CudaException">The library failed.</exception>
    public bool Multiply(
        LtPlan plan, int proposal, nint a, nint b, float beta, nint c, nint d, nint bias, nint workspace, nint stream)
    {
        if (bias != 0)
            Check(Set(plan.Operation, LtOperation.BiasPointer, bias), "cublasLtMatmulDescSetAttribute");
        float alpha = 1;
        LtHeuristic proposed = plan.Proposals[proposal];
        int code = native.Matmul(handle, plan.Operation, &alpha, b, plan.LayoutB, a, plan.LayoutA, &beta, c, plan.LayoutC,
            d, plan.LayoutC, &proposed.Algorithm, workspace, proposed.Workspace, stream);
        if (LtStatus.IsRefusal(code))
            return false;
        Check(code, $"cublasLtMatmul of {plan.Product}");
        return true;
    }

    public void Dispose()
    {
        if (handle == 0)
            return;
        foreach (LtPlan plan in plans)
            Free(plan);
        plans.Clear();
        _ = native.Destroy(handle);
        handle = 0;
    }

    // A row-major matrix is the transpose of the column-major one in the same memory. The library gets
    // Dᵀ = op(B)ᵀ op(A)ᵀ + β Cᵀ: A and B change places, sizes M and N too, transpositions stay; its bias is added to every column.
    private bool Describe(in LtProduct product, LtPlan plan)
    {
        plan.Product = product;
        MatMulShape s = product.Shape;
        int operands = TypeOf(product.Operands), result = TypeOf(product.Result);
        nint operation, preference;
        bool tf32 = product.Tf32 && product.Operands == DType.Float32;
        if (native.MatmulDescCreate(&operation, tf32 ? Compute32FTf32 : Compute32F, Float32) != LtStatus.Success)
            return false;
        plan.Operation = operation;
        bool accepted = Set(operation, LtOperation.TransposeA, s.TransposeB ? 1 : 0) == LtStatus.Success
            && Set(operation, LtOperation.TransposeB, s.TransposeA ? 1 : 0) == LtStatus.Success
            && (!product.Bias || (Set(operation, LtOperation.Epilogue, EpilogueBias) == LtStatus.Success
                && Set(operation, LtOperation.BiasPointer, (nint)16) == LtStatus.Success)) // for its alignment
            && Layout(operands, s.TransposeB ? s.K : s.N, s.TransposeB ? s.N : s.K, s.LdB, out plan.LayoutB)
            && Layout(operands, s.TransposeA ? s.M : s.K, s.TransposeA ? s.K : s.M, s.LdA, out plan.LayoutA)
            && Layout(result, s.N, s.M, s.LdC, out plan.LayoutC);
        if (!accepted || native.PreferenceCreate(&preference) != LtStatus.Success)
            return false;
        LtHeuristic* proposals = stackalloc LtHeuristic[Way.Proposals];
        int found = 0;
        if (!Prefer(preference, product.Alignment) || native.Heuristic(handle, operation, plan.LayoutB, plan.LayoutA, plan.LayoutC,
            plan.LayoutC, preference, Way.Proposals, proposals, &found) != LtStatus.Success)
            found = 0;
        _ = native.PreferenceDestroy(preference);
        plan.Proposals = [.. new ReadOnlySpan<LtHeuristic>(proposals, found).ToArray().Where(p => p.State == LtStatus.Success)];
        return plan.Proposals.Length > 0;
    }

    private bool Prefer(nint preference, int alignment)
    {
        ulong workspace = MostWorkspace;
        uint schemes = ReduceInComputeType, bytes = (uint)alignment;
        bool accepted = native.PreferenceSetAttribute(preference, (int)LtPreference.MaxWorkspace, &workspace, sizeof(ulong)) == 0
            && native.PreferenceSetAttribute(preference, (int)LtPreference.ReductionSchemes, &schemes, sizeof(uint)) == 0;
        for (LtPreference of = LtPreference.AlignmentA; of <= LtPreference.AlignmentD; of++)
            accepted &= native.PreferenceSetAttribute(preference, (int)of, &bytes, sizeof(uint)) == LtStatus.Success;
        return accepted;
    }

    private bool Layout(int type, int rows, int columns, int stride, out nint layout)
    {
        nint made = 0;
        int code = native.MatrixLayoutCreate(&made, type, (ulong)rows, (ulong)columns, stride);
        layout = code == LtStatus.Success ? made : 0;
        return layout != 0;
    }

    private int Set<T>(nint operation, LtOperation attribute, T value)
        where T : unmanaged => native.MatmulDescSetAttribute(operation, (int)attribute, &value, (nuint)sizeof(T));

    private void Free(LtPlan plan)
    {
        if (plan.Operation != 0)
            _ = native.MatmulDescDestroy(plan.Operation);
        foreach (nint layout in (ReadOnlySpan<nint>)[plan.LayoutA, plan.LayoutB, plan.LayoutC])
        {
            if (layout != 0)
                _ = native.MatrixLayoutDestroy(layout);
        }
    }

    private static int TypeOf(DType type) => type == DType.BFloat16 ? BFloat16 : Float32;

    private static void Check(int code, string call)
    {
        if (code != LtStatus.Success)
            throw new CudaException(code, $"cuBLASLt: {call} failed with {LtStatus.Words(code)}");
    }
}

/// <summary>A product that the library has an algorithm for, with its descriptors.</summary>
internal sealed class LtPlan
{
    public nint LayoutA;
    public nint LayoutB;
    public nint LayoutC;

    public LtProduct Product { get; set; }

    public nint Operation { get; set; }

    /// <summary>Algorithms, the most promising first.</summary>
    public LtHeuristic[] Proposals { get; set; } = [];
}

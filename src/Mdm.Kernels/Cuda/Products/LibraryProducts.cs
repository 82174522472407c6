using System.Collections.Concurrent;
using Mdm.Kernels.Libraries;

namespace Mdm.Kernels.Cuda.Products;

/// <summary>How cuBLASLt computes the engine's products. Where its own epilogue means exactly ours it writes the result; else
/// (bias beside bfloat16 results, GELU, gates, two sums at once) it writes float32 sums, and our splitk_sum does the
/// rest.</summary>
internal sealed class LibraryProducts(CudaDevice device)
{
    private readonly ConcurrentDictionary<ProductKey, LtPlan?> plans = new();

    /// <summary>Whether the library writes the result itself: its bias is that of our definition with float32 results only, its
    /// GELU is another function, and it adds one matrix at most.</summary>
    public static bool IsDirect(in ProductKey key)
    {
        bool narrow = key.Math == ProductMath.Bf16 && !key.Traits.HasFlag(ProductTraits.Float);
        const ProductTraits both = ProductTraits.Residual | ProductTraits.Accumulate;
        return (key.Traits & (ProductTraits.Gelu | ProductTraits.Gate)) == 0 && (key.Traits & both) != both
            && (!key.Traits.HasFlag(ProductTraits.Bias) || !(narrow || key.Traits.HasFlag(ProductTraits.Unaligned)));
    }

    /// <summary>The library's plan for a product; null if the library is not there or has none.</summary>
    public LtPlan? Plan(in ProductKey key, int columns)
    {
        if (plans.TryGetValue(key, out LtPlan? known))
            return known;
        using (device.EnterStream(out _))
            return plans[key] = device.Libraries.CublasLt?.Plan(Describe(key, columns));
    }

    /// <summary>Queues the whole product; false: the library cannot.</summary>
    public bool Direct(in ProductKey key, LtPlan plan, int proposal, Ptr a, Ptr b, in ProductOutput output)
    {
        bool adds = output.Residual != 0 || output.Accumulate != 0;
        nint added = output.Residual != 0 ? output.Residual : output.C;
        return Multiply(key, plan, proposal, a, b, adds ? 1 : 0, added, output.C, output.Bias);
    }

    /// <summary>Queues float32 sums into <see cref="ProductOutput.Partial"/>; false: the library cannot.</summary>
    public bool Sums(in ProductKey key, LtPlan plan, int proposal, Ptr a, Ptr b, in ProductOutput output) =>
        Multiply(key, plan, proposal, a, b, 0, output.Partial, output.Partial, 0);

    private bool Multiply(in ProductKey key, LtPlan plan, int proposal, Ptr a, Ptr b, float beta, nint c, nint d, nint bias)
    {
        long bytes = (long)plan.Proposals[proposal].Workspace;
        using Scratch workspace = bytes > 0 ? device.Borrow(bytes) : default;
        using (device.EnterStream(out nint stream))
        {
            if (!device.Libraries.CublasLt!.Multiply(
                plan, proposal, a.Address, b.Address, beta, c, d, bias, workspace.As(DType.UInt8).Address, stream))
            {
                if (proposal == 0)
                    plans[key] = null;
                return false;
            }

            device.Queued("cublasLtMatmul");
            return true;
        }
    }

    private static LtProduct Describe(in ProductKey key, int columns)
    {
        DType operands = key.Math == ProductMath.Bf16 ? DType.BFloat16 : DType.Float32;
        bool direct = IsDirect(key);
        DType result = direct && !key.Traits.HasFlag(ProductTraits.Float) ? operands : DType.Float32;
        MatMulShape shape = direct ? key.Shape : key.Shape with { LdC = columns };
        int alignment = key.Traits.HasFlag(ProductTraits.Unaligned) ? operands.Size() : 16;
        return new LtProduct(shape, operands, result, key.Math == ProductMath.Tf32,
            direct && key.Traits.HasFlag(ProductTraits.Bias), alignment);
    }
}

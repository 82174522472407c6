using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Mdm.Kernels.Cpu;

namespace Mdm.Bench;

/// <summary>What the machine could do at best, measured beside every kernel: clocks drift and cores are shared, so only the
/// ratio of two neighbouring measurements means anything.</summary>
internal static unsafe class Peaks
{
    private const int Steps = 20_000;
    private const int CopyFloats = 16 << 20;

    private static float* copyFrom;
    private static float* copyTo;

    /// <summary>Floating-point operations per second (two per multiply-add) of all threads together, from registers
    /// alone.</summary>
    public static double MultiplyAdds(CpuLevel level)
    {
        // A burst per thread of about a millisecond; what threads do not share cannot slow them.
        int lanes = level == CpuLevel.Avx512 ? 16 : level == CpuLevel.Avx2 ? 8 : 4;
        int bursts = 4 * CpuThreads.Count;
        double start = Measure.Now();
        switch (level)
        {
            case CpuLevel.Avx512:
                CpuThreads.For(bursts, 1, &Burst512, null);
                break;
            case CpuLevel.Avx2:
                CpuThreads.For(bursts, 1, &Burst256, null);
                break;
            default:
                CpuThreads.For(bursts, 1, &Burst128, null);
                break;
        }

        return 2.0 * lanes * 12 * Steps * bursts / (Measure.Now() - start);
    }

    /// <summary>Bytes per second of a copy larger than the caches, reads and writes counted.</summary>
    public static double Copy()
    {
        PrepareCopy();
        return 8.0 * CopyFloats / Measure.Seconds(CopyOnce);
    }

    private static void PrepareCopy()
    {
        if (copyFrom == null)
        {
            var device = new CpuDevice();
            copyFrom = (float*)device.Allocate(CopyFloats * 4L);
            copyTo = (float*)device.Allocate(CopyFloats * 4L);
            new Span<float>(copyFrom, CopyFloats).Fill(1);
            CopyOnce();
        }
    }

    private static void CopyOnce() => CpuThreads.For(CopyFloats, 1 << 18, &CopyPiece, null);

    private static void CopyPiece(void* context, int start, int end, int worker) =>
        new ReadOnlySpan<float>(copyFrom + start, end - start).CopyTo(new Span<float>(copyTo + start, end - start));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Burst512(void* context, int start, int end, int worker)
    {
        for (int burst = start; burst < end; burst++)
        {
            Vector512<float> a = Vector512.Create(0.999f), b = Vector512.Create(1e-3f);
            Vector512<float> c0 = a, c1 = a, c2 = a, c3 = a, c4 = a, c5 = a, c6 = a, c7 = a, c8 = a, c9 = a, c10 = a, c11 = a;
            for (int i = 0; i < Steps; i++)
            {
                c0 = Vector512.FusedMultiplyAdd(c0, a, b);
                c1 = Vector512.FusedMultiplyAdd(c1, a, b);
                c2 = Vector512.FusedMultiplyAdd(c2, a, b);
                c3 = Vector512.FusedMultiplyAdd(c3, a, b);
                c4 = Vector512.FusedMultiplyAdd(c4, a, b);
                c5 = Vector512.FusedMultiplyAdd(c5, a, b);
                c6 = Vector512.FusedMultiplyAdd(c6, a, b);
                c7 = Vector512.FusedMultiplyAdd(c7, a, b);
                c8 = Vector512.FusedMultiplyAdd(c8, a, b);
                c9 = Vector512.FusedMultiplyAdd(c9, a, b);
                c10 = Vector512.FusedMultiplyAdd(c10, a, b);
                c11 = Vector512.FusedMultiplyAdd(c11, a, b);
            }

            Sink = Vector512.Sum(c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9 + c10 + c11);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Burst256(void* context, int start, int end, int worker)
    {
        for (int burst = start; burst < end; burst++)
        {
            Vector256<float> a = Vector256.Create(0.999f), b = Vector256.Create(1e-3f);
            Vector256<float> c0 = a, c1 = a, c2 = a, c3 = a, c4 = a, c5 = a, c6 = a, c7 = a, c8 = a, c9 = a, c10 = a, c11 = a;
            for (int i = 0; i < Steps; i++)
            {
                c0 = Vector256.FusedMultiplyAdd(c0, a, b);
                c1 = Vector256.FusedMultiplyAdd(c1, a, b);
                c2 = Vector256.FusedMultiplyAdd(c2, a, b);
                c3 = Vector256.FusedMultiplyAdd(c3, a, b);
                c4 = Vector256.FusedMultiplyAdd(c4, a, b);
                c5 = Vector256.FusedMultiplyAdd(c5, a, b);
                c6 = Vector256.FusedMultiplyAdd(c6, a, b);
                c7 = Vector256.FusedMultiplyAdd(c7, a, b);
                c8 = Vector256.FusedMultiplyAdd(c8, a, b);
                c9 = Vector256.FusedMultiplyAdd(c9, a, b);
                c10 = Vector256.FusedMultiplyAdd(c10, a, b);
                c11 = Vector256.FusedMultiplyAdd(c11, a, b);
            }

            Sink = Vector256.Sum(c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9 + c10 + c11);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Burst128(void* context, int start, int end, int worker)
    {
        for (int burst = start; burst < end; burst++)
        {
            Vector128<float> a = Vector128.Create(0.999f), b = Vector128.Create(1e-3f);
            Vector128<float> c0 = a, c1 = a, c2 = a, c3 = a, c4 = a, c5 = a, c6 = a, c7 = a, c8 = a, c9 = a, c10 = a, c11 = a;
            for (int i = 0; i < Steps; i++)
            {
                c0 = Vector128.MultiplyAddEstimate(c0, a, b);
                c1 = Vector128.MultiplyAddEstimate(c1, a, b);
                c2 = Vector128.MultiplyAddEstimate(c2, a, b);
                c3 = Vector128.MultiplyAddEstimate(c3, a, b);
                c4 = Vector128.MultiplyAddEstimate(c4, a, b);
                c5 = Vector128.MultiplyAddEstimate(c5, a, b);
                c6 = Vector128.MultiplyAddEstimate(c6, a, b);
                c7 = Vector128.MultiplyAddEstimate(c7, a, b);
                c8 = Vector128.MultiplyAddEstimate(c8, a, b);
                c9 = Vector128.MultiplyAddEstimate(c9, a, b);
                c10 = Vector128.MultiplyAddEstimate(c10, a, b);
                c11 = Vector128.MultiplyAddEstimate(c11, a, b);
            }

            Sink = Vector128.Sum(c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9 + c10 + c11);
        }
    }

    /// <summary>Where results go, so that the compiler cannot drop the work.</summary>
    private static float Sink { get; set; }
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>For results with few columns (an RGB image, a handful of rows of a batch): vectors run along k and are summed at
/// the end, so that no lane is wasted. A tile is 4 rows of A by 4 of B; rows of B are BStep apart.</summary>
internal static unsafe class DotKernel
{
    /// <summary>Rows and columns of a tile.</summary>
    public const int Size = 4;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run<S, V>(Tile* t)
        where S : ISimd<V>
        where V : unmanaged
    {
        V c00 = default, c01 = default, c02 = default, c03 = default;
        V c10 = default, c11 = default, c12 = default, c13 = default;
        V c20 = default, c21 = default, c22 = default, c23 = default;
        V c30 = default, c31 = default, c32 = default, c33 = default;
        int width = sizeof(V) / sizeof(float);
        float* spill = t->Spill;
        for (int i = 0; i < Size; i++)
            Vector128<float>.Zero.Store(spill + i * Size);
        nint s1 = t->Columns > 1 ? t->BStep : 0, s2 = t->Columns > 2 ? 2 * t->BStep : s1;
        nint s3 = t->Columns > 3 ? 3 * t->BStep : s2;
        for (Segment* segment = t->Segments, end = segment + t->SegmentCount; segment < end; segment++)
        {
            float* b = segment->B, next = b + Size * t->BStep;
            float* a0 = segment->A0, a1 = segment->A1, a2 = segment->A2, a3 = segment->A3;
            nint k = 0;
            for (; k <= segment->Count - width; k += width)
            {
                if (Sse.IsSupported)
                {
                    // The next four rows of B: each is too short a stream for the processor to guess in time.
                    Sse.Prefetch0(next + k);
                    Sse.Prefetch0(next + s1 + k);
                    Sse.Prefetch0(next + s2 + k);
                    Sse.Prefetch0(next + s3 + k);
                }

                V b0 = S.Load(b + k), b1 = S.Load(b + s1 + k), b2 = S.Load(b + s2 + k), b3 = S.Load(b + s3 + k);
                V a = S.Load(a0 + k);
                c00 = S.MultiplyAdd(a, b0, c00);
                c01 = S.MultiplyAdd(a, b1, c01);
                c02 = S.MultiplyAdd(a, b2, c02);
                c03 = S.MultiplyAdd(a, b3, c03);
                a = S.Load(a1 + k);
                c10 = S.MultiplyAdd(a, b0, c10);
                c11 = S.MultiplyAdd(a, b1, c11);
                c12 = S.MultiplyAdd(a, b2, c12);
                c13 = S.MultiplyAdd(a, b3, c13);
                a = S.Load(a2 + k);
                c20 = S.MultiplyAdd(a, b0, c20);
                c21 = S.MultiplyAdd(a, b1, c21);
                c22 = S.MultiplyAdd(a, b2, c22);
                c23 = S.MultiplyAdd(a, b3, c23);
                a = S.Load(a3 + k);
                c30 = S.MultiplyAdd(a, b0, c30);
                c31 = S.MultiplyAdd(a, b1, c31);
                c32 = S.MultiplyAdd(a, b2, c32);
                c33 = S.MultiplyAdd(a, b3, c33);
            }

            if (k < segment->Count)
                Remainder(segment, k, s1, s2, s3, spill);
        }

        AddSums<S, V>(spill, c00, c01, c02, c03);
        AddSums<S, V>(spill + 4, c10, c11, c12, c13);
        AddSums<S, V>(spill + 8, c20, c21, c22, c23);
        AddSums<S, V>(spill + 12, c30, c31, c32, c33);
        Finish(t, spill);
    }

    /// <summary>The last steps of a segment, fewer than a vector.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Remainder(Segment* segment, nint k, nint s1, nint s2, nint s3, float* sums)
    {
        for (float** row = &segment->A0; row < &segment->A0 + Size; row++, sums += Size)
        {
            float* a = *row;
            for (nint i = k; i < segment->Count; i++)
            {
                float* b = segment->B + i;
                sums[0] += a[i] * b[0];
                sums[1] += a[i] * b[s1];
                sums[2] += a[i] * b[s2];
                sums[3] += a[i] * b[s3];
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddSums<S, V>(float* sums, V v0, V v1, V v2, V v3)
        where S : ISimd<V>
        where V : unmanaged =>
        (Vector128.Load(sums) + S.Sums(v0, v1, v2, v3)).Store(sums);

    private static void Finish(Tile* t, float* sums)
    {
        for (int i = 0; i < t->Rows; i++, sums += Size)
        {
            float* c = (&t->C0)[i];
            for (int j = 0; j < t->Columns; j++)
            {
                float sum = sums[j];
                if (t->Bias != null)
                    sum += t->Bias[j];
                if (t->HasResidual)
                    sum += c[t->ResidualOffset + j];
                c[j] = t->Add ? c[j] + sum : sum;
            }
        }
    }
}

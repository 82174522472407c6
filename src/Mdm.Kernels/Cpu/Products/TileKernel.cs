using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>The innermost loop of every product and convolution: a tile of up to 6 rows by up to 4 vectors that lives in
/// registers. The numbers of rows and vectors are type parameters whose size is the number, so that the compiler drops what
/// is unused.</summary>
internal static unsafe class TileKernel
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run<S, V, W, R>(Tile* t)
        where S : ISimd<V>
        where V : unmanaged
        where W : unmanaged
        where R : unmanaged
    {
        V c00 = default, c01 = default, c02 = default, c03 = default;
        V c10 = default, c11 = default, c12 = default, c13 = default;
        V c20 = default, c21 = default, c22 = default, c23 = default;
        V c30 = default, c31 = default, c32 = default, c33 = default;
        V c40 = default, c41 = default, c42 = default, c43 = default;
        V c50 = default, c51 = default, c52 = default, c53 = default;
        int columns = sizeof(V) / sizeof(float) * sizeof(W);
        bool whole = t->Rows == sizeof(R) && t->Columns == columns;
        float* spill = t->Spill;
        if (t->HasEpilogue)
        {
            bool direct = whole && t->AddsOnly;
            // A bias alone is the same for every row.
            bool bias = whole && t->BiasOnly;
            float* start = bias ? t->Bias : spill;
            nint step = bias ? 0 : columns;
            if (!direct && !bias)
                TileEdges.Start(t, columns, sizeof(R));
            Load<S, V, W>(direct ? t->C0 : start, ref c00, ref c01, ref c02, ref c03);
            if (sizeof(R) > 1)
                Load<S, V, W>(direct ? t->C1 : start + step, ref c10, ref c11, ref c12, ref c13);
            if (sizeof(R) > 2)
                Load<S, V, W>(direct ? t->C2 : start + 2 * step, ref c20, ref c21, ref c22, ref c23);
            if (sizeof(R) > 3)
                Load<S, V, W>(direct ? t->C3 : start + 3 * step, ref c30, ref c31, ref c32, ref c33);
            if (sizeof(R) > 4)
                Load<S, V, W>(direct ? t->C4 : start + 4 * step, ref c40, ref c41, ref c42, ref c43);
            if (sizeof(R) > 5)
                Load<S, V, W>(direct ? t->C5 : start + 5 * step, ref c50, ref c51, ref c52, ref c53);
        }
        else if (Sse.IsSupported && whole)
        {
            // The lines that will be written are fetched while the sum is taken.
            for (int i = 0; i < sizeof(R); i++)
            {
                float* c = (&t->C0)[i];
                for (int j = 0; j < columns; j += 16)
                    Sse.Prefetch0(c + j);
            }
        }

        nint aStep = t->AStep, bStep = t->BStep;
        Segment* segment = t->Segments, end = segment + t->SegmentCount;
        for (; segment < end; segment++)
        {
            float* b = segment->B;
            float* a0 = segment->A0, a1 = segment->A1, a2 = segment->A2;
            float* a3 = segment->A3, a4 = segment->A4, a5 = segment->A5;
            nint at = 0;
            for (nint k = segment->Count; k > 0; k--)
            {
                V b0 = S.Load(b);
                V b1 = sizeof(W) > 1 ? S.Load(b + sizeof(V) / 4) : default;
                V b2 = sizeof(W) > 2 ? S.Load(b + 2 * (sizeof(V) / 4)) : default;
                V b3 = sizeof(W) > 3 ? S.Load(b + 3 * (sizeof(V) / 4)) : default;
                V a = S.Broadcast(a0[at]);
                c00 = S.MultiplyAdd(a, b0, c00);
                if (sizeof(W) > 1)
                    c01 = S.MultiplyAdd(a, b1, c01);
                if (sizeof(W) > 2)
                    c02 = S.MultiplyAdd(a, b2, c02);
                if (sizeof(W) > 3)
                    c03 = S.MultiplyAdd(a, b3, c03);
                if (sizeof(R) > 1)
                {
                    a = S.Broadcast(a1[at]);
                    c10 = S.MultiplyAdd(a, b0, c10);
                    if (sizeof(W) > 1)
                        c11 = S.MultiplyAdd(a, b1, c11);
                    if (sizeof(W) > 2)
                        c12 = S.MultiplyAdd(a, b2, c12);
                    if (sizeof(W) > 3)
                        c13 = S.MultiplyAdd(a, b3, c13);
                }

                if (sizeof(R) > 2)
                {
                    a = S.Broadcast(a2[at]);
                    c20 = S.MultiplyAdd(a, b0, c20);
                    if (sizeof(W) > 1)
                        c21 = S.MultiplyAdd(a, b1, c21);
                    if (sizeof(W) > 2)
                        c22 = S.MultiplyAdd(a, b2, c22);
                    if (sizeof(W) > 3)
                        c23 = S.MultiplyAdd(a, b3, c23);
                }

                if (sizeof(R) > 3)
                {
                    a = S.Broadcast(a3[at]);
                    c30 = S.MultiplyAdd(a, b0, c30);
                    if (sizeof(W) > 1)
                        c31 = S.MultiplyAdd(a, b1, c31);
                    if (sizeof(W) > 2)
                        c32 = S.MultiplyAdd(a, b2, c32);
                    if (sizeof(W) > 3)
                        c33 = S.MultiplyAdd(a, b3, c33);
                }

                if (sizeof(R) > 4)
                {
                    a = S.Broadcast(a4[at]);
                    c40 = S.MultiplyAdd(a, b0, c40);
                    if (sizeof(W) > 1)
                        c41 = S.MultiplyAdd(a, b1, c41);
                    if (sizeof(W) > 2)
                        c42 = S.MultiplyAdd(a, b2, c42);
                    if (sizeof(W) > 3)
                        c43 = S.MultiplyAdd(a, b3, c43);
                }

                if (sizeof(R) > 5)
                {
                    a = S.Broadcast(a5[at]);
                    c50 = S.MultiplyAdd(a, b0, c50);
                    if (sizeof(W) > 1)
                        c51 = S.MultiplyAdd(a, b1, c51);
                    if (sizeof(W) > 2)
                        c52 = S.MultiplyAdd(a, b2, c52);
                    if (sizeof(W) > 3)
                        c53 = S.MultiplyAdd(a, b3, c53);
                }

                at += aStep;
                b += bStep;
            }
        }

        Store<S, V, W>(whole ? t->C0 : spill, c00, c01, c02, c03);
        if (sizeof(R) > 1)
            Store<S, V, W>(whole ? t->C1 : spill + columns, c10, c11, c12, c13);
        if (sizeof(R) > 2)
            Store<S, V, W>(whole ? t->C2 : spill + 2 * columns, c20, c21, c22, c23);
        if (sizeof(R) > 3)
            Store<S, V, W>(whole ? t->C3 : spill + 3 * columns, c30, c31, c32, c33);
        if (sizeof(R) > 4)
            Store<S, V, W>(whole ? t->C4 : spill + 4 * columns, c40, c41, c42, c43);
        if (sizeof(R) > 5)
            Store<S, V, W>(whole ? t->C5 : spill + 5 * columns, c50, c51, c52, c53);
        if (!whole)
            TileEdges.Finish(t, columns);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Load<S, V, W>(float* p, ref V v0, ref V v1, ref V v2, ref V v3)
        where S : ISimd<V>
        where V : unmanaged
        where W : unmanaged
    {
        v0 = S.Load(p);
        if (sizeof(W) > 1)
            v1 = S.Load(p + sizeof(V) / 4);
        if (sizeof(W) > 2)
            v2 = S.Load(p + 2 * (sizeof(V) / 4));
        if (sizeof(W) > 3)
            v3 = S.Load(p + 3 * (sizeof(V) / 4));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<S, V, W>(float* p, V v0, V v1, V v2, V v3)
        where S : ISimd<V>
        where V : unmanaged
        where W : unmanaged
    {
        S.Store(p, v0);
        if (sizeof(W) > 1)
            S.Store(p + sizeof(V) / 4, v1);
        if (sizeof(W) > 2)
            S.Store(p + 2 * (sizeof(V) / 4), v2);
        if (sizeof(W) > 3)
            S.Store(p + 3 * (sizeof(V) / 4), v3);
    }
}

/// <summary>Numbers as types: the size is the number.</summary>
[StructLayout(LayoutKind.Sequential, Size = 1)]
internal readonly struct One;

[StructLayout(LayoutKind.Sequential, Size = 2)]
internal readonly struct Two;

[StructLayout(LayoutKind.Sequential, Size = 3)]
internal readonly struct Three;

[StructLayout(LayoutKind.Sequential, Size = 4)]
internal readonly struct Four;

[StructLayout(LayoutKind.Sequential, Size = 6)]
internal readonly struct Six;

using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>
/// The transforms of Winograd's F(4x4, 3x3): a 4x4 patch of a convolution from a 6x6 patch of its input with 36
/// multiplications instead of 144. In one dimension y = Aᵀ[(G g) ∘ (Bᵀ d)], by interpolation at the points 0, ±a, ±b and
/// infinity; and for the gradient of the weights dg = Gᵀ[(A dy) ∘ (Bᵀ d)].
/// <para>The usual points ±1, ±2 lose a digit. With a = 5/8 and b = 3/2 the rounding error (by norm, normal inputs, 32 to 512
/// channels) is 1.7 to 2 times that of the direct sum.</para>
/// </summary>
internal static unsafe class Winograd
{
    /// <summary>Width of a patch of the input, and of the result.</summary>
    public const int Patch = 6, Result = 4;

    /// <summary>Products per patch.</summary>
    public const int Terms = Patch * Patch;

    private const float P = 0.625f, Q = 1.5f, P2 = P * P, Q2 = Q * Q;
    private const float AtZero = 1 / (P2 * Q2), AtP = 1 / (2 * P2 * (P2 - Q2)), AtQ = 1 / (2 * Q2 * (Q2 - P2));

    /// <summary>Bᵀ d B of one patch: pixels are its 36 pointers; term f of the channels goes to to + f·step.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Input<S, V>(float** pixels, int channels, float* to, nint step)
        where S : ISimd<V>
        where V : unmanaged
    {
        V* half = stackalloc V[Terms];
        for (int c = 0; c < channels; c += sizeof(V) / sizeof(float), to += sizeof(V) / sizeof(float))
        {
            for (int j = 0; j < Patch; j++)
            {
                float** p = pixels + j;
                Spread<S, V>(
                    S.Load(p[0] + c), S.Load(p[6] + c), S.Load(p[12] + c),
                    S.Load(p[18] + c), S.Load(p[24] + c), S.Load(p[30] + c),
                    (float*)(half + j), Patch * sizeof(V) / sizeof(float));
            }

            for (int i = 0; i < Patch; i++)
            {
                V* h = half + i * Patch;
                Spread<S, V>(h[0], h[1], h[2], h[3], h[4], h[5], to + i * Patch * step, step);
            }
        }
    }

    /// <summary>Aᵀ m A: term f of the channels is at from + f·step; the 16 results (+ bias) (+ residual) (+ what is there) go
    /// to the places that exist.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Output<S, V>(float* from, nint step, int channels, PatchEnd* end)
        where S : ISimd<V>
        where V : unmanaged
    {
        V* half = stackalloc V[Result * Patch];
        V* done = stackalloc V[Result];
        for (int c = 0; c < channels; c += sizeof(V) / sizeof(float), from += sizeof(V) / sizeof(float))
        {
            for (int j = 0; j < Patch; j++)
            {
                float* f = from + j * step;
                nint row = Patch * step;
                Gather<S, V>(
                    S.Load(f), S.Load(f + row), S.Load(f + 2 * row),
                    S.Load(f + 3 * row), S.Load(f + 4 * row), S.Load(f + 5 * row),
                    half + j, Patch);
            }

            V bias = end->Bias == null ? default : S.Load(end->Bias + c);
            for (int i = 0; i < Result; i++)
            {
                V* h = half + i * Patch;
                Gather<S, V>(h[0], h[1], h[2], h[3], h[4], h[5], done, 1);
                for (int j = 0; j < Result; j++)
                {
                    float* y = end->Places[i * Result + j];
                    if (y == null)
                        continue;
                    V value = S.Add(done[j], bias);
                    if (end->HasResidual)
                        value = S.Add(value, S.Load(y + end->ResidualOffset + c));
                    if (end->Add)
                        value = S.Add(value, S.Load(y + c));
                    S.Store(y + c, value);
                }
            }
        }
    }

    /// <summary>G g Gᵀ: tap t of a row of weights is at from + t·tapStep; term f goes to to + f·step.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Weights<S, V>(float* from, nint tapStep, int columns, float* to, nint step)
        where S : ISimd<V>
        where V : unmanaged
    {
        V* half = stackalloc V[3 * Patch];
        for (int c = 0; c < columns; c += sizeof(V) / sizeof(float), from += sizeof(V) / sizeof(float))
        {
            for (int s = 0; s < 3; s++)
            {
                float* f = from + s * tapStep;
                Evaluate<S, V>(
                    S.Load(f), S.Load(f + 3 * tapStep), S.Load(f + 6 * tapStep), (float*)(half + s), 3 * sizeof(V) / sizeof(float));
            }

            for (int i = 0; i < Patch; i++)
                Evaluate<S, V>(half[3 * i], half[3 * i + 1], half[3 * i + 2], to + c + i * Patch * step, step);
        }
    }

    /// <summary>A dy Aᵀ of one 4x4 patch of a gradient: pixels are its 16 pointers; term f goes to to + f·step.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Gradient<S, V>(float** pixels, int channels, float* to, nint step)
        where S : ISimd<V>
        where V : unmanaged
    {
        V* half = stackalloc V[Result * Patch];
        for (int c = 0; c < channels; c += sizeof(V) / sizeof(float), to += sizeof(V) / sizeof(float))
        {
            for (int j = 0; j < Result; j++)
            {
                float** p = pixels + j;
                Powers<S, V>(
                    S.Load(p[0] + c), S.Load(p[4] + c), S.Load(p[8] + c), S.Load(p[12] + c),
                    (float*)(half + j), Result * sizeof(V) / sizeof(float));
            }

            for (int i = 0; i < Patch; i++)
            {
                V* h = half + i * Result;
                Powers<S, V>(h[0], h[1], h[2], h[3], to + i * Patch * step, step);
            }
        }
    }

    /// <summary>Gᵀ p G: term f is at from + f·step; weight (r, s) goes to to + (3r + s)·tapStep, or is added there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void WeightGradient<S, V>(float* from, nint step, int columns, float* to, nint tapStep, bool add)
        where S : ISimd<V>
        where V : unmanaged
    {
        V* half = stackalloc V[3 * Patch];
        V* done = stackalloc V[3];
        for (int c = 0; c < columns; c += sizeof(V) / sizeof(float), from += sizeof(V) / sizeof(float))
        {
            for (int j = 0; j < Patch; j++)
            {
                float* f = from + j * step;
                nint row = Patch * step;
                Fold<S, V>(
                    S.Load(f), S.Load(f + row), S.Load(f + 2 * row),
                    S.Load(f + 3 * row), S.Load(f + 4 * row), S.Load(f + 5 * row),
                    half + j, Patch);
            }

            for (int r = 0; r < 3; r++)
            {
                V* h = half + r * Patch;
                Fold<S, V>(h[0], h[1], h[2], h[3], h[4], h[5], done, 1);
                for (int s = 0; s < 3; s++)
                {
                    float* w = to + (3 * r + s) * tapStep + c;
                    S.Store(w, add ? S.Add(S.Load(w), done[s]) : done[s]);
                }
            }
        }
    }

    /// <summary>Bᵀ d.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Spread<S, V>(V d0, V d1, V d2, V d3, V d4, V d5, float* to, nint step)
        where S : ISimd<V>
        where V : unmanaged
    {
        V product = S.Broadcast(P2 * Q2), sum = S.Broadcast(-P2 - Q2), p2 = S.Broadcast(-P2), q2 = S.Broadcast(-Q2);
        V evenP = S.MultiplyAdd(q2, d2, d4), oddP = S.MultiplyAdd(q2, d1, d3);
        V evenQ = S.MultiplyAdd(p2, d2, d4), oddQ = S.MultiplyAdd(p2, d1, d3);
        S.Store(to, S.MultiplyAdd(product, d0, S.MultiplyAdd(sum, d2, d4)));
        S.Store(to + step, S.MultiplyAdd(S.Broadcast(P), oddP, evenP));
        S.Store(to + 2 * step, S.MultiplyAdd(S.Broadcast(-P), oddP, evenP));
        S.Store(to + 3 * step, S.MultiplyAdd(S.Broadcast(Q), oddQ, evenQ));
        S.Store(to + 4 * step, S.MultiplyAdd(S.Broadcast(-Q), oddQ, evenQ));
        S.Store(to + 5 * step, S.MultiplyAdd(product, d1, S.MultiplyAdd(sum, d3, d5)));
    }

    /// <summary>Aᵀ m.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Gather<S, V>(V m0, V m1, V m2, V m3, V m4, V m5, V* to, nint step)
        where S : ISimd<V>
        where V : unmanaged
    {
        V evenP = S.Add(m1, m2), oddP = S.Subtract(m1, m2), evenQ = S.Add(m3, m4), oddQ = S.Subtract(m3, m4);
        to[0] = S.Add(m0, S.Add(evenP, evenQ));
        to[step] = S.MultiplyAdd(S.Broadcast(P), oddP, S.MultiplyAdd(S.Broadcast(Q), oddQ, default));
        to[2 * step] = S.MultiplyAdd(S.Broadcast(P2), evenP, S.MultiplyAdd(S.Broadcast(Q2), evenQ, default));
        to[3 * step] = S.MultiplyAdd(S.Broadcast(P2 * P), oddP, S.MultiplyAdd(S.Broadcast(Q2 * Q), oddQ, m5));
    }

    /// <summary>G g.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Evaluate<S, V>(V g0, V g1, V g2, float* to, nint step)
        where S : ISimd<V>
        where V : unmanaged
    {
        V evenP = S.MultiplyAdd(S.Broadcast(AtP), g0, S.MultiplyAdd(S.Broadcast(AtP * P2), g2, default));
        V evenQ = S.MultiplyAdd(S.Broadcast(AtQ), g0, S.MultiplyAdd(S.Broadcast(AtQ * Q2), g2, default));
        S.Store(to, S.MultiplyAdd(S.Broadcast(AtZero), g0, default));
        S.Store(to + step, S.MultiplyAdd(S.Broadcast(AtP * P), g1, evenP));
        S.Store(to + 2 * step, S.MultiplyAdd(S.Broadcast(-AtP * P), g1, evenP));
        S.Store(to + 3 * step, S.MultiplyAdd(S.Broadcast(AtQ * Q), g1, evenQ));
        S.Store(to + 4 * step, S.MultiplyAdd(S.Broadcast(-AtQ * Q), g1, evenQ));
        S.Store(to + 5 * step, g2);
    }

    /// <summary>A y.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Powers<S, V>(V y0, V y1, V y2, V y3, float* to, nint step)
        where S : ISimd<V>
        where V : unmanaged
    {
        V evenP = S.MultiplyAdd(S.Broadcast(P2), y2, y0), oddP = S.MultiplyAdd(S.Broadcast(P2), y3, y1);
        V evenQ = S.MultiplyAdd(S.Broadcast(Q2), y2, y0), oddQ = S.MultiplyAdd(S.Broadcast(Q2), y3, y1);
        S.Store(to, y0);
        S.Store(to + step, S.MultiplyAdd(S.Broadcast(P), oddP, evenP));
        S.Store(to + 2 * step, S.MultiplyAdd(S.Broadcast(-P), oddP, evenP));
        S.Store(to + 3 * step, S.MultiplyAdd(S.Broadcast(Q), oddQ, evenQ));
        S.Store(to + 4 * step, S.MultiplyAdd(S.Broadcast(-Q), oddQ, evenQ));
        S.Store(to + 5 * step, y3);
    }

    /// <summary>Gᵀ p.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Fold<S, V>(V p0, V p1, V p2, V p3, V p4, V p5, V* to, nint step)
        where S : ISimd<V>
        where V : unmanaged
    {
        V evenP = S.Add(p1, p2), oddP = S.Subtract(p1, p2), evenQ = S.Add(p3, p4), oddQ = S.Subtract(p3, p4);
        V at = S.MultiplyAdd(S.Broadcast(AtP), evenP, S.MultiplyAdd(S.Broadcast(AtQ), evenQ, default));
        to[0] = S.MultiplyAdd(S.Broadcast(AtZero), p0, at);
        to[step] = S.MultiplyAdd(S.Broadcast(AtP * P), oddP, S.MultiplyAdd(S.Broadcast(AtQ * Q), oddQ, default));
        to[2 * step] = S.MultiplyAdd(S.Broadcast(AtP * P2), evenP, S.MultiplyAdd(S.Broadcast(AtQ * Q2), evenQ, p5));
    }
}

/// <summary>Where the results of a patch go (null: outside the image) and what is added to them.</summary>
internal unsafe struct PatchEnd
{
    public float** Places;

    /// <summary>Residual minus result, in floats.</summary>
    public nint ResidualOffset;
    public float* Bias;
    public bool HasResidual;
    public bool Add;
}

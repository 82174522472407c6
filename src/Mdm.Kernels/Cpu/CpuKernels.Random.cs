using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

// Element i of a sequence belongs to block i/4 of Philox and uses word i%4 (see PhiloxBlocks for counter and key).
//
// Uniform: (word >> 8)·2^-24.
//
// Normal: Box and Muller's transform of the pairs of words (0,1) and (2,3) of the block. The first element of a pair is
// r·cos(2πu2), the second r·sin(2πu2), with u1 = ((first >> 8) + 1)·2^-24, u2 = (second >> 8)·2^-24, r = sqrt(-2 ln u1).
// Every step below is one IEEE float32 operation (+, -, ·, fma, sqrt) or one on 32-bit integers, in this order, so that any
// device gives the same bits:
//   ln u1:  i = bits(u1) - 0x3F3504F3, e = i >> 23 (signed), f = float(bits(u1) - (e << 23)) - 1   (so u1 = 2^e·(1+f))
//           p = L8; p = fma(p, f, L7); .. p = fma(p, f, L0); z = f·f; t = fma(f·z, p, e·LOW); t = fma(z, -0.5, t);
//           ln = fma(e, HIGH, f + t)                                        (HIGH + LOW = ln 2)
//   r = sqrt(-2·ln)
//   angle:  k = second >> 8, q = (k + 2^21) >> 22, y = float(k - (q << 22))·(2π·2^-24), z = y·y
//           s = fma(fma(fma(S2, z, S1), z, S0)·z, y, y)
//           c = fma(z·z, fma(fma(C2, z, C1), z, C0), fma(z, -0.5, 1))
//           if q is odd, s and c change places; then bit 1 of q flips the sign of s, bit 1 of q+1 that of c
//   elements r·c and r·s
public sealed unsafe partial class CpuKernels
{
    /// <summary>Blocks made at a time: their words and what is made of them stay in the first cache.</summary>
    private const int RandomBlocks = 256;

    /// <summary>Blocks that one thread takes at a time.</summary>
    private const int RandomPiece = 16 * RandomBlocks;

    public void Normal(long n, RandomKey key, long offset, Ptr y) =>
        Generate(n, offset, new RandomLoop<NormalNumbers>(n, key, offset, new NormalNumbers(y.F32)));

    public void Uniform(long n, RandomKey key, long offset, Ptr y) =>
        Generate(n, offset, new RandomLoop<UniformNumbers>(n, key, offset, new UniformNumbers(y.F32)));

    public void Dropout(long n, float p, RandomKey key, long offset, Ptr x, Target y)
    {
        if (!y.IsNone)
            Generate(n, offset, new RandomLoop<DroppedNumbers>(n, key, offset, new DroppedNumbers(p, x.F32, new Output(y))));
    }

    private static void Generate<TNumbers>(long n, long offset, RandomLoop<TNumbers> loop)
        where TNumbers : unmanaged, INumbers
    {
        if (n > 0)
            SimdLoops.For((int)((offset % 4 + n - 1) / (4L * RandomPiece)) + 1, 1, loop);
    }

    private interface INumbers
    {
        /// <summary>From the words of some blocks to their numbers.</summary>
        void Transform<V>(int blocks, uint* words, float* numbers)
            where V : unmanaged, ISimd<V>;

        /// <summary>Uses the numbers of elements i .. i+count-1.</summary>
        void Use<V>(long i, int count, float* numbers)
            where V : unmanaged, ISimd<V>;
    }

    private readonly struct RandomLoop<TNumbers>(long n, RandomKey key, long offset, TNumbers target) : IParallelLoop
        where TNumbers : unmanaged, INumbers
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            uint* words = Scratch.ForPiece<uint>(12 * RandomBlocks);
            float* numbers = (float*)words + 4 * RandomBlocks;
            long skipped = offset % 4, blocks = (skipped + n + 3) / 4;
            long stop = Math.Min(blocks, (long)end * RandomPiece);
            for (long block = (long)start * RandomPiece; block < stop; block += RandomBlocks)
            {
                int count = (int)Math.Min(RandomBlocks, stop - block);
                PhiloxBlocks.Fill(key, (ulong)(offset / 4 + block), count, words);
                target.Transform<V>(count, words, numbers);

                // The first block may begin before element 0, the last may end after element n-1.
                long first = 4 * block - skipped;
                int before = (int)Math.Max(0, -first);
                int used = (int)(Math.Min(n, first + 4L * count) - (first + before));
                target.Use<V>(first + before, used, numbers + before);
            }
        }
    }

    private readonly struct UniformNumbers(float* y) : INumbers
    {
        [MethodImpl(Inline)]
        public void Transform<V>(int blocks, uint* words, float* numbers)
            where V : unmanaged, ISimd<V> => ToUniform<V>(4 * blocks, words, numbers);

        [MethodImpl(Inline)]
        public void Use<V>(long i, int count, float* numbers)
            where V : unmanaged, ISimd<V> => new Span<float>(numbers, count).CopyTo(new Span<float>(y + i, count));
    }

    private readonly struct DroppedNumbers(float p, float* x, Output y) : INumbers
    {
        [MethodImpl(Inline)]
        public void Transform<V>(int blocks, uint* words, float* numbers)
            where V : unmanaged, ISimd<V> => ToUniform<V>(4 * blocks, words, numbers);

        [MethodImpl(Inline)]
        public void Use<V>(long i, int count, float* numbers)
            where V : unmanaged, ISimd<V>
        {
            int j = 0;
            for (; j + V.Width <= count; j += V.Width)
                y.Put(i + j, Drop<V>(i + j, numbers + j));
            for (; j < count; j++)
                y.Put(i + j, Drop<F1>(i + j, numbers + j));
        }

        [MethodImpl(Inline)]
        private V Drop<V>(long i, float* uniform)
            where V : unmanaged, ISimd<V> =>
            V.Select(V.Less(V.Load(uniform), V.Set(p)), V.Set(0f), V.Load(x + i) * V.Set(1f / (1f - p)));
    }

    private readonly struct NormalNumbers(float* y) : INumbers
    {
        [MethodImpl(Inline)]
        public void Transform<V>(int blocks, uint* words, float* numbers)
            where V : unmanaged, ISimd<V>
        {
            // Room of 4·RandomBlocks for the first words of the pairs, then the second ones; results go to the same places.
            float* firsts = numbers + 4 * RandomBlocks, seconds = firsts + 2 * RandomBlocks;
            int pairs = 2 * blocks;
            for (int i = 0; i < pairs; i++)
            {
                ((uint*)firsts)[i] = words[2 * i];
                ((uint*)seconds)[i] = words[2 * i + 1];
            }

            int j = 0;
            for (; j + V.Width <= pairs; j += V.Width)
                BoxMuller<V>(firsts + j, seconds + j);
            for (; j < pairs; j++)
                BoxMuller<F1>(firsts + j, seconds + j);
            for (int i = 0; i < pairs; i++)
            {
                numbers[2 * i] = firsts[i];
                numbers[2 * i + 1] = seconds[i];
            }
        }

        [MethodImpl(Inline)]
        public void Use<V>(long i, int count, float* numbers)
            where V : unmanaged, ISimd<V> => new Span<float>(numbers, count).CopyTo(new Span<float>(y + i, count));
    }

    [MethodImpl(Inline)]
    private static void ToUniform<V>(int n, uint* words, float* numbers)
        where V : unmanaged, ISimd<V>
    {
        int i = 0;
        for (; i + V.Width <= n; i += V.Width)
            V.Store(numbers + i, Uniform(V.Load((float*)words + i)));
        for (; i < n; i++)
            F1.Store(numbers + i, Uniform(F1.Load((float*)words + i)));
    }

    [MethodImpl(Inline)]
    private static V Uniform<V>(V words)
        where V : unmanaged, ISimd<V> => V.IntegersToFloat(V.ShiftRightBits(words, 8)) * V.Set(1f / 16777216);

    /// <summary>Words in, normal numbers out: see the top of the file.</summary>
    [MethodImpl(Inline)]
    private static void BoxMuller<V>(float* first, float* second)
        where V : unmanaged, ISimd<V>
    {
        V u1 = V.IntegersToFloat(V.AddBits(V.ShiftRightBits(V.Load(first), 8), V.SetBits(1))) * V.Set(1f / 16777216);
        V e = V.ShiftRightSignedBits(V.SubtractBits(u1, V.SetBits(0x3F3504F3)), 23);
        V f = V.SubtractBits(u1, V.ShiftLeftBits(e, 23)) - V.Set(1f);
        V exponent = V.IntegersToFloat(e);
        V p = V.Set(0.0697307040919f);
        p = V.Fma(p, f, V.Set(-0.114814772411f));
        p = V.Fma(p, f, V.Set(0.116857196391f));
        p = V.Fma(p, f, V.Set(-0.124254865607f));
        p = V.Fma(p, f, V.Set(0.142490093223f));
        p = V.Fma(p, f, V.Set(-0.166678085763f));
        p = V.Fma(p, f, V.Set(0.200007171956f));
        p = V.Fma(p, f, V.Set(-0.249999969116f));
        p = V.Fma(p, f, V.Set(0.333333311743f));
        V z = f * f;
        V t = V.Fma(f * z, p, exponent * V.Set(-2.12194440e-4f));
        t = V.Fma(z, V.Set(-0.5f), t);
        V ln = V.Fma(exponent, V.Set(0.693359375f), f + t);
        V radius = V.Sqrt(V.Set(-2f) * ln);

        V k = V.ShiftRightBits(V.Load(second), 8);
        V q = V.ShiftRightBits(V.AddBits(k, V.SetBits(1 << 21)), 22);
        V angle = V.IntegersToFloat(V.SubtractBits(k, V.ShiftLeftBits(q, 22))) * V.Set(3.74507028e-7f);
        V square = angle * angle;
        V s = V.Fma(V.Set(-0.000195878908804f), square, V.Set(0.00833274827063f));
        s = V.Fma(s, square, V.Set(-0.166666646623f));
        s = V.Fma(s * square, angle, angle);
        V c = V.Fma(V.Set(2.45479420851e-5f), square, V.Set(-0.00138883030359f));
        c = V.Fma(c, square, V.Set(0.0416666646595f));
        c = V.Fma(square * square, c, V.Fma(square, V.Set(-0.5f), V.Set(1f)));

        V odd = V.EqualBits(V.AndBits(q, V.SetBits(1)), V.SetBits(1));
        V two = V.SetBits(2);
        V cosine = V.XorBits(V.Select(odd, s, c), V.ShiftLeftBits(V.AndBits(V.AddBits(q, V.SetBits(1)), two), 30));
        V sine = V.XorBits(V.Select(odd, c, s), V.ShiftLeftBits(V.AndBits(q, two), 30));
        V.Store(first, radius * cosine);
        V.Store(second, radius * sine);
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Mdm.Kernels.Cpu;

/// <summary>Many blocks of <see cref="Philox"/> at once. Block b of a sequence has the counter (b low, b high, stream low,
/// stream high) and the key (seed low, seed high).</summary>
internal static unsafe class PhiloxBlocks
{
    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    private const MethodImplOptions Hot = MethodImplOptions.AggressiveOptimization;

    /// <summary>The four words of each of the blocks first .. first+count-1, in order. Room for a multiple of 8 blocks is
    /// needed.</summary>
    public static void Fill(RandomKey key, ulong first, int count, uint* words)
    {
        switch (CpuFeatures.Level)
        {
            case CpuLevel.Avx512:
                Fill<U512>(key, first, count, words);
                break;
            case CpuLevel.Avx2:
                Fill<U256>(key, first, count, words);
                break;
            default:
                Fill<U1>(key, first, count, words);
                break;
        }
    }

    /// <summary>Each word sits in the low half of a 64-bit lane; what is in the high half does not matter, because products
    /// are taken of the low halves only.</summary>
    [MethodImpl(Hot)]
    private static void Fill<U>(RandomKey key, ulong first, int count, uint* words)
        where U : unmanaged, IWords<U>
    {
        ulong* low = stackalloc ulong[8], high = stackalloc ulong[8];
        U mask = U.Set(0xFFFFFFFF), multiplier0 = U.Set(0xD2511F53), multiplier1 = U.Set(0xCD9E8D57);
        for (int done = 0; done < count; done += U.Width)
        {
            U c0 = U.Sequence(first + (ulong)done), c1 = U.HighHalf(c0);
            U c2 = U.Set(key.Stream), c3 = U.Set(key.Stream >> 32);
            uint key0 = (uint)key.Seed, key1 = (uint)(key.Seed >> 32);
            for (int round = 0; round < 10; round++)
            {
                U p0 = U.Multiply(c0, multiplier0), p1 = U.Multiply(c2, multiplier1);
                c0 = U.HighHalf(p1) ^ c1 ^ U.Set(key0);
                c1 = p1;
                c2 = U.HighHalf(p0) ^ c3 ^ U.Set(key1);
                c3 = p0;
                key0 += 0x9E3779B9;
                key1 += 0xBB67AE85;
            }

            U.Store(low, (c0 & mask) ^ U.ToHighHalf(c1));
            U.Store(high, (c2 & mask) ^ U.ToHighHalf(c3));
            ulong* to = (ulong*)(words + 4L * done);
            for (int i = 0; i < U.Width; i++)
            {
                to[2 * i] = low[i];
                to[2 * i + 1] = high[i];
            }
        }
    }

    /// <summary>Some 64-bit lanes.</summary>
    private interface IWords<U>
        where U : unmanaged, IWords<U>
    {
        static abstract int Width { get; }

        static abstract U Set(ulong value);

        /// <summary>first, first+1, ..</summary>
        static abstract U Sequence(ulong first);

        /// <summary>The 64-bit products of the low halves.</summary>
        static abstract U Multiply(U a, U b);

        static abstract U HighHalf(U a);

        static abstract U ToHighHalf(U a);

        static abstract U operator ^(U a, U b);

        static abstract U operator &(U a, U b);

        static abstract void Store(ulong* p, U a);
    }

    private readonly struct U512(Vector512<ulong> value) : IWords<U512>
    {
        private readonly Vector512<ulong> value = value;

        public static int Width => 8;

        [MethodImpl(Inline)]
        public static U512 Set(ulong value) => new(Vector512.Create(value));

        [MethodImpl(Inline)]
        public static U512 Sequence(ulong first) => new(Vector512.Create(first) + Vector512.Create(0UL, 1, 2, 3, 4, 5, 6, 7));

        [MethodImpl(Inline)]
        public static U512 Multiply(U512 a, U512 b) => new(Avx512F.Multiply(a.value.AsUInt32(), b.value.AsUInt32()));

        [MethodImpl(Inline)]
        public static U512 HighHalf(U512 a) => new(a.value >> 32);

        [MethodImpl(Inline)]
        public static U512 ToHighHalf(U512 a) => new(a.value << 32);

        [MethodImpl(Inline)]
        public static U512 operator ^(U512 a, U512 b) => new(a.value ^ b.value);

        [MethodImpl(Inline)]
        public static U512 operator &(U512 a, U512 b) => new(a.value & b.value);

        [MethodImpl(Inline)]
        public static void Store(ulong* p, U512 a) => a.value.Store(p);
    }

    private readonly struct U256(Vector256<ulong> value) : IWords<U256>
    {
        private readonly Vector256<ulong> value = value;

        public static int Width => 4;

        [MethodImpl(Inline)]
        public static U256 Set(ulong value) => new(Vector256.Create(value));

        [MethodImpl(Inline)]
        public static U256 Sequence(ulong first) => new(Vector256.Create(first) + Vector256.Create(0UL, 1, 2, 3));

        [MethodImpl(Inline)]
        public static U256 Multiply(U256 a, U256 b) => new(Avx2.Multiply(a.value.AsUInt32(), b.value.AsUInt32()));

        [MethodImpl(Inline)]
        public static U256 HighHalf(U256 a) => new(a.value >> 32);

        [MethodImpl(Inline)]
        public static U256 ToHighHalf(U256 a) => new(a.value << 32);

        [MethodImpl(Inline)]
        public static U256 operator ^(U256 a, U256 b) => new(a.value ^ b.value);

        [MethodImpl(Inline)]
        public static U256 operator &(U256 a, U256 b) => new(a.value & b.value);

        [MethodImpl(Inline)]
        public static void Store(ulong* p, U256 a) => a.value.Store(p);
    }

    private readonly struct U1(ulong value) : IWords<U1>
    {
        private readonly ulong value = value;

        public static int Width => 1;

        [MethodImpl(Inline)]
        public static U1 Set(ulong value) => new(value);

        [MethodImpl(Inline)]
        public static U1 Sequence(ulong first) => new(first);

        [MethodImpl(Inline)]
        public static U1 Multiply(U1 a, U1 b) => new((ulong)(uint)a.value * (uint)b.value);

        [MethodImpl(Inline)]
        public static U1 HighHalf(U1 a) => new(a.value >> 32);

        [MethodImpl(Inline)]
        public static U1 ToHighHalf(U1 a) => new(a.value << 32);

        [MethodImpl(Inline)]
        public static U1 operator ^(U1 a, U1 b) => new(a.value ^ b.value);

        [MethodImpl(Inline)]
        public static U1 operator &(U1 a, U1 b) => new(a.value & b.value);

        [MethodImpl(Inline)]
        public static void Store(ulong* p, U1 a) => *p = a.value;
    }
}

using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

public sealed unsafe partial class CpuKernels
{
    public void Cast(long n, Ptr source, Ptr destination)
    {
        if (source.Type == destination.Type)
        {
            long bytes = n * source.Type.Size();
            Buffer.MemoryCopy((void*)source.Address, (void*)destination.Address, bytes, bytes);
            return;
        }

        switch (source.Type)
        {
            case DType.Float32:
                CastFrom<Float32>(n, source, destination);
                break;
            case DType.BFloat16:
                CastFrom<BFloat16>(n, source, destination);
                break;
            case DType.Float16:
                CastFrom<Float16>(n, source, destination);
                break;
            case DType.Float64:
                CastFrom<Float64>(n, source, destination);
                break;
            case DType.UInt8 when destination.Type == DType.Float32:
                Cast<UInt8, Float32>(n, source, destination);
                break;
            case DType.Int32 when destination.Type == DType.Float32:
                Cast<Int32Element, Float32>(n, source, destination);
                break;
            case DType.Int64 when destination.Type == DType.Float32:
                Cast<Int64Element, Float32>(n, source, destination);
                break;
            default:
                throw NoCast(source, destination);
        }
    }

    private static void CastFrom<TSource>(long n, Ptr source, Ptr destination)
        where TSource : unmanaged, IElement
    {
        switch (destination.Type)
        {
            case DType.Float32:
                Cast<TSource, Float32>(n, source, destination);
                break;
            case DType.BFloat16:
                Cast<TSource, BFloat16>(n, source, destination);
                break;
            case DType.Float16:
                Cast<TSource, Float16>(n, source, destination);
                break;
            case DType.Float64:
                Cast<TSource, Float64>(n, source, destination);
                break;
            default:
                throw NoCast(source, destination);
        }
    }

    private static ArgumentException NoCast(Ptr source, Ptr destination) =>
        new($"no cast from {source.Type} to {destination.Type}", nameof(destination));

    private static void Cast<TSource, TDestination>(long n, Ptr source, Ptr destination)
        where TSource : unmanaged, IElement
        where TDestination : unmanaged, IElement =>
        SimdLoops.For((int)((n + CastLoop<TSource, TDestination>.Chunk - 1) / CastLoop<TSource, TDestination>.Chunk), 1,
            new CastLoop<TSource, TDestination>(n, (byte*)source.Address, (byte*)destination.Address));

    private readonly struct CastLoop<TSource, TDestination>(long n, byte* source, byte* destination) : IParallelLoop
        where TSource : unmanaged, IElement
        where TDestination : unmanaged, IElement
    {
        public const int Chunk = 16384;

        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            byte* x = source, y = destination;
            long stop = Math.Min(n, (long)end * Chunk);
            for (long i = (long)start * Chunk; i < stop; i++)
                TDestination.Write(y, i, TSource.Read(x, i));
        }
    }

    /// <summary>How a type is kept in memory. Every value of every type but int64 is exact in float64, and int64 is rounded to
    /// float32 through <see cref="RoundToOdd(long)"/>, so that a cast rounds once.</summary>
    private interface IElement
    {
        static abstract double Read(byte* p, long i);

        static abstract void Write(byte* p, long i, double value);
    }

    private readonly struct Float32 : IElement
    {
        [MethodImpl(Inline)]
        public static double Read(byte* p, long i) => ((float*)p)[i];

        [MethodImpl(Inline)]
        public static void Write(byte* p, long i, double value) => ((float*)p)[i] = (float)value;
    }

    private readonly struct Float64 : IElement
    {
        [MethodImpl(Inline)]
        public static double Read(byte* p, long i) => ((double*)p)[i];

        [MethodImpl(Inline)]
        public static void Write(byte* p, long i, double value) => ((double*)p)[i] = value;
    }

    private readonly struct Float16 : IElement
    {
        [MethodImpl(Inline)]
        public static double Read(byte* p, long i) => (double)(float)((Half*)p)[i];

        [MethodImpl(Inline)]
        public static void Write(byte* p, long i, double value) => ((Half*)p)[i] = (Half)value;
    }

    private readonly struct BFloat16 : IElement
    {
        [MethodImpl(Inline)]
        public static double Read(byte* p, long i) => BitConverter.UInt32BitsToSingle((uint)((ushort*)p)[i] << 16);

        [MethodImpl(Inline)]
        public static void Write(byte* p, long i, double value)
        {
            uint bits = BitConverter.SingleToUInt32Bits(RoundToOdd(value));
            bool nan = (bits & 0x7FFFFFFF) > 0x7F800000;
            ((ushort*)p)[i] = (ushort)(nan ? (bits >> 16) | 0x40 : (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
        }
    }

    private readonly struct UInt8 : IElement
    {
        [MethodImpl(Inline)]
        public static double Read(byte* p, long i) => p[i];

        public static void Write(byte* p, long i, double value) => throw new NotSupportedException("uint8 is only read");
    }

    private readonly struct Int32Element : IElement
    {
        [MethodImpl(Inline)]
        public static double Read(byte* p, long i) => ((int*)p)[i];

        public static void Write(byte* p, long i, double value) => throw new NotSupportedException("int32 is only read");
    }

    private readonly struct Int64Element : IElement
    {
        [MethodImpl(Inline)]
        public static double Read(byte* p, long i) => RoundToOdd(((long*)p)[i]);

        public static void Write(byte* p, long i, double value) => throw new NotSupportedException("int64 is only read");
    }

    /// <summary>To float32 towards zero, with the last bit set if anything was lost: rounding the result again to fewer bits
    /// gives what rounding the original once would have.</summary>
    [MethodImpl(Inline)]
    private static float RoundToOdd(double value)
    {
        float f = (float)value;
        if ((double)f == value || double.IsNaN(value))
            return f;
        uint bits = BitConverter.SingleToUInt32Bits(f);
        if (Math.Abs((double)f) > Math.Abs(value))
            bits--;
        return BitConverter.UInt32BitsToSingle(bits | 1);
    }

    /// <summary>As <see cref="RoundToOdd(double)"/>, to float64.</summary>
    [MethodImpl(Inline)]
    private static double RoundToOdd(long value)
    {
        // Beyond 2^53 the low 11 bits cannot matter to float32 but as "something is there".
        bool exact = Math.Abs(value >> 1) < 1L << 52;
        return exact ? value : (double)((value & ~0x7FFL) | ((value & 0x7FF) != 0 ? 0x400L : 0));
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cpu;

public sealed unsafe partial class CpuKernels
{
    private const MethodImplOptions Inline = MethodImplOptions.AggressiveInlining;
    private const MethodImplOptions Hot = MethodImplOptions.AggressiveOptimization;

    public void Unary(UnaryFunction f, long n, Ptr x, Ptr y)
    {
        switch (f)
        {
            case UnaryFunction.Silu:
                SimdLoops.Elements(n, new UnaryLoop<SiluFunction>(x.F32, y.F32));
                break;
            case UnaryFunction.Gelu:
                SimdLoops.Elements(n, new UnaryLoop<GeluFunction>(x.F32, y.F32));
                break;
            case UnaryFunction.Tanh:
                SimdLoops.Elements(n, new UnaryLoop<TanhFunction>(x.F32, y.F32));
                break;
            case UnaryFunction.GeluTanh:
                SimdLoops.Elements(n, new UnaryLoop<GeluTanhFunction>(x.F32, y.F32));
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(f), f, "unknown function");
        }
    }

    public void UnaryBackward(UnaryFunction f, long n, Ptr x, Ptr dy, Target dx)
    {
        if (dx.IsNone)
            return;
        switch (f)
        {
            case UnaryFunction.Silu:
                SimdLoops.Elements(n, new UnaryBackwardLoop<SiluFunction>(x.F32, dy.F32, new Output(dx)));
                break;
            case UnaryFunction.Gelu:
                SimdLoops.Elements(n, new UnaryBackwardLoop<GeluFunction>(x.F32, dy.F32, new Output(dx)));
                break;
            case UnaryFunction.Tanh:
                SimdLoops.Elements(n, new UnaryBackwardLoop<TanhFunction>(x.F32, dy.F32, new Output(dx)));
                break;
            case UnaryFunction.GeluTanh:
                SimdLoops.Elements(n, new UnaryBackwardLoop<GeluTanhFunction>(x.F32, dy.F32, new Output(dx)));
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(f), f, "unknown function");
        }
    }

    public void Clamp(long n, float low, float high, Ptr x, Ptr y) =>
        SimdLoops.Elements(n, new ClampLoop(low, high, x.F32, y.F32));

    public void ClampBackward(long n, float low, float high, Ptr x, Ptr dy, Target dx)
    {
        if (!dx.IsNone)
            SimdLoops.Elements(n, new ClampBackwardLoop(low, high, x.F32, dy.F32, new Output(dx)));
    }

    public void LinearCombination(long n, float a, Ptr x, float b, Ptr y, Target z)
    {
        if (z.IsNone)
            return;
        if (y.IsNone)
            SimdLoops.Elements(n, new ScaleLoop(a, x.F32, new Output(z)));
        else
            SimdLoops.Elements(n, new LinearCombinationLoop(a, x.F32, b, y.F32, new Output(z)));
    }

    public void Multiply(long n, Ptr x, Ptr y, Target z)
    {
        if (!z.IsNone)
            SimdLoops.Elements(n, new MultiplyLoop(x.F32, y.F32, new Output(z)));
    }

    public void SampleCombination(int batch, long inner, Ptr a, Ptr x, Ptr b, Ptr y, Target z)
    {
        if (z.IsNone)
            return;
        if (y.IsNone)
            SimdLoops.Samples(batch, inner, new SampleScaleLoop(a.F32, x.F32, new Output(z)));
        else
            SimdLoops.Samples(batch, inner, new SampleCombinationLoop(a.F32, x.F32, b.F32, y.F32, new Output(z)));
    }

    public void ClampToUnit(int batch, long inner, Ptr limit, Ptr x, Ptr y) =>
        SimdLoops.Samples(batch, inner, new ClampToUnitLoop(limit.F32, x.F32, y.F32));

    public void Fill(long n, float value, Ptr y) => SimdLoops.Elements(n, new FillLoop(value, y.F32));

    public void Zero(long bytes, nint address) => NativeMemory.Clear((void*)address, (nuint)bytes);

    public void CopyRows(int rows, int cols, Rows source, RowsTarget destination)
    {
        if (destination.IsNone || rows == 0 || cols == 0)
            return;
        if (destination.Accumulate && destination.Ptr.Type != DType.Float32)
            throw new ArgumentException($"rows are added in Float32, not in {destination.Ptr.Type}", nameof(destination));
        if (source.Ptr.Type != destination.Ptr.Type)
            throw new ArgumentException($"no copy from {source.Ptr.Type} to {destination.Ptr.Type}", nameof(destination));
        SimdLoops.For(rows, Math.Max(1, 16384 / cols), new CopyRowsLoop(cols, source, destination));
    }

    /// <summary>Where a loop puts a result: in place of what is there, or added to it.</summary>
    private readonly struct Output(Target target)
    {
        public readonly float* P = target.Ptr.F32;
        private readonly bool accumulate = target.Accumulate;

        [MethodImpl(Inline)]
        public void Put<V>(long i, V value)
            where V : unmanaged, ISimd<V> =>
            V.Store(P + i, accumulate ? V.Load(P + i) + value : value);
    }

    private interface IFunction
    {
        static abstract V Value<V>(V x)
            where V : unmanaged, ISimd<V>;

        static abstract V Derivative<V>(V x)
            where V : unmanaged, ISimd<V>;
    }

    private readonly struct SiluFunction : IFunction
    {
        [MethodImpl(Inline)]
        public static V Value<V>(V x)
            where V : unmanaged, ISimd<V> => SimdMath.Silu(x);

        [MethodImpl(Inline)]
        public static V Derivative<V>(V x)
            where V : unmanaged, ISimd<V> => SimdMath.SiluDerivative(x);
    }

    private readonly struct GeluFunction : IFunction
    {
        [MethodImpl(Inline)]
        public static V Value<V>(V x)
            where V : unmanaged, ISimd<V> => x * SimdMath.NormalCdf(x, out _);

        [MethodImpl(Inline)]
        public static V Derivative<V>(V x)
            where V : unmanaged, ISimd<V>
        {
            V cdf = SimdMath.NormalCdf(x, out V density);
            return V.Fma(x, density, cdf);
        }
    }

    private readonly struct TanhFunction : IFunction
    {
        [MethodImpl(Inline)]
        public static V Value<V>(V x)
            where V : unmanaged, ISimd<V> => SimdMath.Tanh(x);

        /// <summary>1 - tanh² as 4e/(1+e)² with e = e^(-2|x|), which keeps its accuracy where tanh is near 1.</summary>
        [MethodImpl(Inline)]
        public static V Derivative<V>(V x)
            where V : unmanaged, ISimd<V>
        {
            V e = SimdMath.Exp(V.OrBits(x + x, V.SetBits(0x80000000)));
            V d = V.Set(1f) + e;
            return V.Set(4f) * e / (d * d);
        }
    }

    private readonly struct GeluTanhFunction : IFunction
    {
        [MethodImpl(Inline)]
        public static V Value<V>(V x)
            where V : unmanaged, ISimd<V> => SimdMath.GeluTanh(x);

        [MethodImpl(Inline)]
        public static V Derivative<V>(V x)
            where V : unmanaged, ISimd<V> => SimdMath.GeluTanhDerivative(x);
    }

    private readonly struct UnaryLoop<F>(float* x, float* y) : IElementLoop
        where F : IFunction
    {
        [MethodImpl(Inline)]
        public void Step<V>(long i)
            where V : unmanaged, ISimd<V> => V.Store(y + i, F.Value(V.Load(x + i)));
    }

    private readonly struct UnaryBackwardLoop<F>(float* x, float* dy, Output dx) : IElementLoop
        where F : IFunction
    {
        [MethodImpl(Inline)]
        public void Step<V>(long i)
            where V : unmanaged, ISimd<V> => dx.Put(i, V.Load(dy + i) * F.Derivative(V.Load(x + i)));
    }

    private readonly struct ClampLoop(float low, float high, float* x, float* y) : IElementLoop
    {
        [MethodImpl(Inline)]
        public void Step<V>(long i)
            where V : unmanaged, ISimd<V> =>
            V.Store(y + i, V.Min(V.Set(high), V.Max(V.Set(low), V.Load(x + i))));
    }

    private readonly struct ClampBackwardLoop(float low, float high, float* x, float* dy, Output dx) : IElementLoop
    {
        [MethodImpl(Inline)]
        public void Step<V>(long i)
            where V : unmanaged, ISimd<V>
        {
            V v = V.Load(x + i);
            V outside = V.OrBits(V.Less(v, V.Set(low)), V.Less(V.Set(high), v));
            dx.Put(i, V.Select(outside, V.Set(0f), V.Load(dy + i)));
        }
    }

    private readonly struct ScaleLoop(float a, float* x, Output z) : IElementLoop
    {
        [MethodImpl(Inline)]
        public void Step<V>(long i)
            where V : unmanaged, ISimd<V> => z.Put(i, V.Set(a) * V.Load(x + i));
    }

    private readonly struct LinearCombinationLoop(float a, float* x, float b, float* y, Output z) : IElementLoop
    {
        [MethodImpl(Inline)]
        public void Step<V>(long i)
            where V : unmanaged, ISimd<V> =>
            z.Put(i, V.Fma(V.Set(a), V.Load(x + i), V.Set(b) * V.Load(y + i)));
    }

    private readonly struct MultiplyLoop(float* x, float* y, Output z) : IElementLoop
    {
        [MethodImpl(Inline)]
        public void Step<V>(long i)
            where V : unmanaged, ISimd<V> => z.Put(i, V.Load(x + i) * V.Load(y + i));
    }

    private readonly struct SampleScaleLoop(float* a, float* x, Output z) : ISampleLoop
    {
        [MethodImpl(Inline)]
        public void Step<V>(int s, long i)
            where V : unmanaged, ISimd<V> => z.Put(i, V.Set(a[s]) * V.Load(x + i));
    }

    private readonly struct SampleCombinationLoop(float* a, float* x, float* b, float* y, Output z) : ISampleLoop
    {
        [MethodImpl(Inline)]
        public void Step<V>(int s, long i)
            where V : unmanaged, ISimd<V> =>
            z.Put(i, V.Fma(V.Set(a[s]), V.Load(x + i), V.Set(b[s]) * V.Load(y + i)));
    }

    private readonly struct ClampToUnitLoop(float* limit, float* x, float* y) : ISampleLoop
    {
        [MethodImpl(Inline)]
        public void Step<V>(int s, long i)
            where V : unmanaged, ISimd<V>
        {
            V c = V.Set(limit[s]);
            V.Store(y + i, V.Min(c, V.Max(V.Set(-limit[s]), V.Load(x + i))) / c);
        }
    }

    private readonly struct FillLoop(float value, float* y) : IElementLoop
    {
        [MethodImpl(Inline)]
        public void Step<V>(long i)
            where V : unmanaged, ISimd<V> => V.Store(y + i, V.Set(value));
    }

    private readonly struct CopyRowsLoop(int cols, Rows source, RowsTarget destination) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            // Rows are often short (a few vectors): nothing but the copy itself may stand in this loop.
            int size = source.Ptr.Type.Size();
            long bytes = (long)cols * size, fromStep = (long)source.Stride * size, toStep = (long)destination.Stride * size;
            byte* from = (byte*)source.Ptr.Address + start * fromStep, to = (byte*)destination.Ptr.Address + start * toStep;
            for (int r = start; r < end; r++, from += fromStep, to += toStep)
            {
                if (destination.Accumulate)
                    Add<V>(cols, (float*)from, (float*)to);
                else if (size == sizeof(float))
                    Copy<V>(cols, (float*)from, (float*)to);
                else
                    Buffer.MemoryCopy(from, to, bytes, bytes);
            }
        }
    }

    /// <summary>y = x.</summary>
    [MethodImpl(Inline)]
    private static void Copy<V>(int n, float* x, float* y)
        where V : unmanaged, ISimd<V>
    {
        int i = 0;
        for (; i + V.Width <= n; i += V.Width)
            V.Store(y + i, V.Load(x + i));
        for (; i < n; i++)
            y[i] = x[i];
    }

    /// <summary>y += x.</summary>
    [MethodImpl(Inline)]
    private static void Add<V>(int n, float* x, float* y)
        where V : unmanaged, ISimd<V>
    {
        int i = 0;
        for (; i + V.Width <= n; i += V.Width)
            V.Store(y + i, V.Load(y + i) + V.Load(x + i));
        for (; i < n; i++)
            y[i] += x[i];
    }
}

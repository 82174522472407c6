using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

public sealed unsafe partial class CpuKernels
{
    public void UpsampleNearest(int batch, int height, int width, int channels, Ptr x, Ptr y) =>
        SimdLoops.For(batch * height, RowGrain(4L * width * channels), new UpsampleLoop(width, channels, x.F32, y.F32));

    public void UpsampleNearestBackward(int batch, int height, int width, int channels, Ptr dy, Target dx) =>
        SumBlocks(batch, height, width, channels, 2, 1f, dy, dx);

    public void AveragePool(int batch, int height, int width, int channels, int factor, Ptr x, Ptr y)
    {
        if (height % factor != 0 || width % factor != 0)
            throw new ArgumentException($"{height}x{width} is not a multiple of the factor {factor}", nameof(factor));
        SumBlocks(batch, height / factor, width / factor, channels, factor, 1f / (factor * factor), x, new Target(y, false));
    }

    public void AveragePoolBackward(int batch, int height, int width, int channels, int factor, Ptr dy, Target dx)
    {
        if (!dx.IsNone)
            SimdLoops.For(batch * height, RowGrain((long)width * channels),
                new AveragePoolBackwardLoop(height, width, channels, factor, dy.F32, new Output(dx)));
    }

    public void Resize(
        ResizeFilter filter, int batch, int height, int width, int channels, int outHeight, int outWidth, Ptr x, Ptr y)
    {
        bool cubic = filter == ResizeFilter.Bicubic;
        ResizeTaps* taps = Scratch.ForCall<ResizeTaps>(outHeight + outWidth);
        for (int i = 0; i < outHeight; i++)
            taps[i] = ResizeTaps.At(i, height, outHeight, cubic);
        for (int i = 0; i < outWidth; i++)
            taps[outHeight + i] = ResizeTaps.At(i, width, outWidth, cubic);
        SimdLoops.For(batch * outHeight, RowGrain((long)outWidth * channels),
            new ResizeLoop(height, width, channels, outHeight, outWidth, taps, x.F32, y.F32));
    }

    private static int RowGrain(long rowElements) => (int)Math.Clamp(16384 / Math.Max(1, rowElements), 1, 1024);

    /// <summary>y [batch, height, width, channels] = scale · the sums of factor x factor blocks of x.</summary>
    private static void SumBlocks(int batch, int height, int width, int channels, int factor, float scale, Ptr x, Target y)
    {
        if (!y.IsNone)
            SimdLoops.For(batch * height, RowGrain((long)factor * factor * width * channels),
                new SumBlocksLoop(width, channels, factor, scale, x.F32, new Output(y)));
    }

    private readonly struct UpsampleLoop(int width, int channels, float* x, float* y) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            long row = (long)width * channels;
            for (int r = start; r < end; r++)
            {
                float* from = x + r * row, to = y + 4 * r * row;
                for (int w = 0; w < width; w++, from += channels, to += 2 * channels)
                {
                    int c = 0;
                    for (; c + V.Width <= channels; c += V.Width)
                    {
                        V v = V.Load(from + c);
                        V.Store(to + c, v);
                        V.Store(to + channels + c, v);
                    }

                    for (; c < channels; c++)
                        to[c] = to[channels + c] = from[c];
                }

                Buffer.MemoryCopy(y + 4 * r * row, to, 8 * row, 8 * row);
            }
        }
    }

    private readonly struct SumBlocksLoop(int width, int channels, int factor, float scale, float* x, Output y) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            int row = factor * width * channels;
            for (int r = start; r < end; r++)
                for (int w = 0; w < width; w++)
                {
                    float* from = x + (long)r * factor * row + (long)w * factor * channels;
                    long to = ((long)r * width + w) * channels;
                    int c = 0;
                    for (; c + V.Width <= channels; c += V.Width)
                        y.Put(to + c, Block<V>(from + c, row));
                    for (; c < channels; c++)
                        y.Put(to + c, Block<F1>(from + c, row));
                }
        }

        [MethodImpl(Inline)]
        private V Block<V>(float* x, int row)
            where V : unmanaged, ISimd<V>
        {
            V sum = V.Set(0f);
            for (int i = 0; i < factor; i++)
                for (int j = 0; j < factor; j++)
                    sum += V.Load(x + (long)i * row + (long)j * channels);
            return sum * V.Set(scale);
        }
    }

    private readonly struct AveragePoolBackwardLoop(
        int height, int width, int channels, int factor, float* dy, Output dx) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            float scale = 1f / (factor * factor);
            for (int r = start; r < end; r++)
                for (int w = 0; w < width; w++)
                {
                    (int b, int h) = (r / height, r % height);
                    long block = ((long)b * (height / factor) + h / factor) * (width / factor) + w / factor;
                    float* from = dy + block * channels;
                    long to = ((long)r * width + w) * channels;
                    int c = 0;
                    for (; c + V.Width <= channels; c += V.Width)
                        dx.Put(to + c, V.Load(from + c) * V.Set(scale));
                    for (; c < channels; c++)
                        dx.Put(to + c, F1.Load(from + c) * F1.Set(scale));
                }
        }
    }

    /// <summary>The (up to) four input positions of an output position along one axis, and their weights.</summary>
    private struct ResizeTaps
    {
        public fixed int Index[4];
        public fixed float Weight[4];
        public int Count;

        public static ResizeTaps At(int i, int size, int outSize, bool cubic)
        {
            double at = (i + 0.5) * size / outSize - 0.5;
            ResizeTaps taps = default;
            if (!cubic)
            {
                at = Math.Max(0, at);
                int first = (int)at;
                taps.Count = 2;
                taps.Index[0] = first;
                taps.Index[1] = Math.Min(first + 1, size - 1);
                taps.Weight[0] = (float)(1 - (at - first));
                taps.Weight[1] = (float)(at - first);
                return taps;
            }

            int floor = (int)Math.Floor(at);
            taps.Count = 4;
            for (int k = 0; k < 4; k++)
            {
                taps.Index[k] = Math.Clamp(floor - 1 + k, 0, size - 1);
                taps.Weight[k] = (float)Cubic(Math.Abs(at - (floor - 1 + k)));
            }

            return taps;
        }

        /// <summary>Keys' cubic convolution kernel with a = -0.75 at distance d.</summary>
        private static double Cubic(double d)
        {
            const double A = -0.75;
            return d <= 1 ? ((A + 2) * d - (A + 3)) * d * d + 1
                : d < 2 ? ((A * d - 5 * A) * d + 8 * A) * d - 4 * A
                : 0;
        }
    }

    private readonly struct ResizeLoop(
        int height, int width, int channels, int outHeight, int outWidth, ResizeTaps* taps, float* x, float* y) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int r = start; r < end; r++)
            {
                (int b, int h) = (r / outHeight, r % outHeight);
                float* image = x + (long)b * height * width * channels;
                for (int w = 0; w < outWidth; w++)
                {
                    float* to = y + ((long)r * outWidth + w) * channels;
                    int c = 0;
                    for (; c + V.Width <= channels; c += V.Width)
                        V.Store(to + c, Pixel<V>(image + c, taps + h, taps + outHeight + w));
                    for (; c < channels; c++)
                        F1.Store(to + c, Pixel<F1>(image + c, taps + h, taps + outHeight + w));
                }
            }
        }

        [MethodImpl(Inline)]
        private V Pixel<V>(float* image, ResizeTaps* down, ResizeTaps* across)
            where V : unmanaged, ISimd<V>
        {
            V sum = V.Set(0f);
            for (int i = 0; i < down->Count; i++)
            {
                V line = V.Set(0f);
                for (int j = 0; j < across->Count; j++)
                {
                    float* p = image + ((long)down->Index[i] * width + across->Index[j]) * channels;
                    line = V.Fma(V.Set(across->Weight[j]), V.Load(p), line);
                }

                sum = V.Fma(V.Set(down->Weight[i]), line, sum);
            }

            return sum;
        }
    }
}

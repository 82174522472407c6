namespace Mdm.Kernels.Cpu;

// Plain loops: the first version of the products.
public sealed unsafe partial class CpuKernels
{
    public void MatMul(in MatMulShape shape, Ptr a, Ptr b, Target c, Ptr bias = default, Ptr residual = default)
    {
        if (c.IsNone)
            return;
        var job = new ProductJob(shape, a.F32, b.F32, c.Ptr.F32, bias.F32, residual.F32, c.Accumulate);
        CpuThreads.For(shape.M, 1, &ProductRows, &job);
    }

    public void Conv3x3Forward(in ConvShape shape, Ptr x, Ptr w, Ptr bias, Ptr residual, Ptr y)
    {
        var job = new ConvJob(shape, x.F32, w.F32, y.F32, bias.F32, residual.F32, false);
        CpuThreads.For(shape.Batch * shape.OutHeight, 1, &ForwardRows, &job);
    }

    public void Conv3x3BackwardData(in ConvShape shape, Ptr dy, Ptr w, Target dx)
    {
        if (dx.IsNone)
            return;
        var job = new ConvJob(shape, dx.Ptr.F32, w.F32, dy.F32, null, null, dx.Accumulate);
        CpuThreads.For(shape.Batch, 1, &DataImages, &job);
    }

    public void Conv3x3BackwardWeight(in ConvShape shape, Ptr x, Ptr dy, Target dw)
    {
        if (dw.IsNone)
            return;
        var job = new ConvJob(shape, x.F32, dw.Ptr.F32, dy.F32, null, null, dw.Accumulate);
        CpuThreads.For(shape.OutChannels, 1, &WeightChannels, &job);
    }

    private static void ProductRows(void* context, int start, int end, int worker)
    {
        ref ProductJob job = ref *(ProductJob*)context;
        MatMulShape s = job.Shape;
        for (int m = start; m < end; m++)
        {
            for (int n = 0; n < s.N; n++)
            {
                float sum = 0;
                for (int k = 0; k < s.K; k++)
                {
                    sum += job.A[s.TransposeA ? (long)k * s.LdA + m : (long)m * s.LdA + k]
                        * job.B[s.TransposeB ? (long)n * s.LdB + k : (long)k * s.LdB + n];
                }

                long at = (long)m * s.LdC + n;
                sum += job.Bias == null ? 0 : job.Bias[n];
                sum += job.Residual == null ? 0 : job.Residual[at];
                job.C[at] = job.Accumulate ? job.C[at] + sum : sum;
            }
        }
    }

    private static void ForwardRows(void* context, int start, int end, int worker)
    {
        ref ConvJob job = ref *(ConvJob*)context;
        ConvShape s = job.Shape;
        for (int row = start; row < end; row++)
        {
            for (int q = 0; q < s.OutWidth; q++)
            {
                float* y = job.Y + ((long)row * s.OutWidth + q) * s.OutChannels;
                for (int o = 0; o < s.OutChannels; o++)
                {
                    y[o] = (job.Bias == null ? 0 : job.Bias[o])
                        + (job.Residual == null ? 0 : job.Residual[((long)row * s.OutWidth + q) * s.OutChannels + o]);
                }

                for (int tap = 0; tap < 9; tap++)
                {
                    float* x = job.Pixel(row / s.OutHeight, row % s.OutHeight, q, tap);
                    if (x == null)
                        continue;
                    for (int o = 0; o < s.OutChannels; o++)
                    {
                        float* w = job.W + ((long)o * 9 + tap) * s.InChannels;
                        float sum = 0;
                        for (int i = 0; i < s.InChannels; i++)
                            sum += x[i] * w[i];
                        y[o] += sum;
                    }
                }
            }
        }
    }

    private static void DataImages(void* context, int start, int end, int worker)
    {
        ref ConvJob job = ref *(ConvJob*)context;
        ConvShape s = job.Shape;
        long size = (long)s.Height * s.Width * s.InChannels;
        for (int b = start; b < end; b++)
        {
            if (!job.Accumulate)
                new Span<float>(job.X + b * size, (int)size).Clear();
            for (int p = 0; p < s.OutHeight; p++)
            {
                for (int q = 0; q < s.OutWidth; q++)
                {
                    float* dy = job.Y + (((long)b * s.OutHeight + p) * s.OutWidth + q) * s.OutChannels;
                    for (int tap = 0; tap < 9; tap++)
                    {
                        float* dx = job.Pixel(b, p, q, tap);
                        for (int o = 0; o < s.OutChannels && dx != null; o++)
                        {
                            float* w = job.W + ((long)o * 9 + tap) * s.InChannels;
                            for (int i = 0; i < s.InChannels; i++)
                                dx[i] += dy[o] * w[i];
                        }
                    }
                }
            }
        }
    }

    private static void WeightChannels(void* context, int start, int end, int worker)
    {
        ref ConvJob job = ref *(ConvJob*)context;
        ConvShape s = job.Shape;
        for (int o = start; o < end; o++)
        {
            if (!job.Accumulate)
                new Span<float>(job.W + (long)o * 9 * s.InChannels, 9 * s.InChannels).Clear();
            for (int row = 0; row < s.Batch * s.OutHeight; row++)
            {
                for (int q = 0; q < s.OutWidth; q++)
                {
                    float dy = job.Y[((long)row * s.OutWidth + q) * s.OutChannels + o];
                    for (int tap = 0; tap < 9; tap++)
                    {
                        float* x = job.Pixel(row / s.OutHeight, row % s.OutHeight, q, tap);
                        float* dw = job.W + ((long)o * 9 + tap) * s.InChannels;
                        for (int i = 0; i < s.InChannels && x != null; i++)
                            dw[i] += dy * x[i];
                    }
                }
            }
        }
    }

    private struct ProductJob(MatMulShape shape, float* a, float* b, float* c, float* bias, float* residual, bool accumulate)
    {
        public readonly MatMulShape Shape = shape;
        public readonly float* A = a;
        public readonly float* B = b;
        public readonly float* C = c;
        public readonly float* Bias = bias;
        public readonly float* Residual = residual;
        public readonly bool Accumulate = accumulate;
    }

    private struct ConvJob(ConvShape shape, float* x, float* w, float* y, float* bias, float* residual, bool accumulate)
    {
        public readonly ConvShape Shape = shape;
        public readonly float* X = x;
        public readonly float* W = w;
        public readonly float* Y = y;
        public readonly float* Bias = bias;
        public readonly float* Residual = residual;
        public readonly bool Accumulate = accumulate;

        /// <summary>The input pixel under a tap of output pixel (p, q), or null outside the image.</summary>
        public readonly float* Pixel(int b, int p, int q, int tap)
        {
            int h = p * Shape.Stride + tap / 3 - 1, w = q * Shape.Stride + tap % 3 - 1;
            if (h < 0 || w < 0 || h >= Shape.InHeight || w >= Shape.InWidth)
                return null;
            int shift = Shape.Upsample ? 1 : 0;
            return X + (((long)b * Shape.Height + (h >> shift)) * Shape.Width + (w >> shift)) * Shape.InChannels;
        }
    }
}

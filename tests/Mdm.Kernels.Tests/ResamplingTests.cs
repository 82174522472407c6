using Mdm.Kernels.Cpu;
using static Mdm.Kernels.Tests.Arrays;

namespace Mdm.Kernels.Tests;

internal sealed class ResamplingTests(CpuLevel level) : LevelFixture(level)
{
    [Test]
    public void Nearest_doubling_and_its_gradient([Values(1, 3, 40)] int channels)
    {
        (int b, int h, int w) = (2, 3, 5);
        float[] x = Random(b * h * w * channels, 1), y = Zeros(4 * x.Length), dx = Filled(x.Length, 1);
        Kernels.UpsampleNearest(b, h, w, channels, Ptr(x), Ptr(y));
        double[] expected = Wide(Filled(x.Length, 1));
        for (int i = 0; i < y.Length; i++)
        {
            (int c, int q, int row) = (i % channels, i / channels % (2 * w), i / channels / (2 * w));
            (int p, int s) = (row % (2 * h), row / (2 * h));
            int from = ((s * h + p / 2) * w + q / 2) * channels + c;
            Assert.That(y[i], Is.EqualTo(x[from]));
            expected[from] += y[i];
        }

        Kernels.UpsampleNearestBackward(b, h, w, channels, Ptr(y), AddTo(dx));
        Near(dx, expected, 1e-7);
    }

    [Test]
    public void Average_pooling_and_its_gradient([Values(1, 3, 40)] int channels, [Values(1, 2, 3)] int factor)
    {
        (int b, int h, int w) = (2, 2, 3);
        float[] x = Random(b * h * w * factor * factor * channels, 1), y = Zeros(b * h * w * channels), dx = Filled(x.Length, 1);
        Kernels.AveragePool(b, h * factor, w * factor, channels, factor, Ptr(x), Ptr(y));
        double[] expected = new double[y.Length], slopes = new double[x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            (int c, int q, int p) = (i % channels, i / channels % (w * factor), i / channels / (w * factor));
            int to = (p / factor * w + q / factor) * channels + c;
            expected[to] += (double)x[i] / (factor * factor);
            slopes[i] = 1 + (double)y[to] / (factor * factor);
        }

        Near(y, expected, 2e-7);
        Kernels.AveragePoolBackward(b, h * factor, w * factor, channels, factor, Ptr(y), AddTo(dx));
        Near(dx, slopes, 2e-7);
        Assert.That(() => Kernels.AveragePool(1, 5, 4, 1, 2, Ptr(x), Ptr(y)), Throws.ArgumentException);
    }

    [Test]
    public void Resizing(
        [Values] ResizeFilter filter, [Values(1, 4, 7)] int outHeight, [Values(3, 10, 25)] int outWidth,
        [Values(3, 20)] int channels)
    {
        (int b, int h, int w) = (2, 4, 10);
        float[] x = Random(b * h * w * channels, 1), y = Zeros(b * outHeight * outWidth * channels);
        Kernels.Resize(filter, b, h, w, channels, outHeight, outWidth, Ptr(x), Ptr(y));
        double[] expected = new double[y.Length];
        for (int i = 0; i < y.Length; i++)
        {
            (int c, int q, int p) = (i % channels, i / channels % outWidth, i / channels / outWidth % outHeight);
            int s = i / channels / outWidth / outHeight;
            for (int r = -2; r < h + 3; r++)
                for (int k = -2; k < w + 3; k++)
                {
                    int at = ((s * h + Math.Clamp(r, 0, h - 1)) * w + Math.Clamp(k, 0, w - 1)) * channels + c;
                    expected[i] += Weight(filter, r, p, h, outHeight) * Weight(filter, k, q, w, outWidth) * x[at];
                }
        }

        Near(y, expected, 3e-7);
        if (outHeight == h && outWidth == w)
            Near(y, Wide(x), 0);
    }

    /// <summary>What input position r (beyond the border too) counts at output position i.</summary>
    private static double Weight(ResizeFilter filter, int r, int i, int size, int outSize)
    {
        double at = (i + 0.5) * size / outSize - 0.5;
        if (filter == ResizeFilter.Bilinear)
            return Math.Max(0, 1 - Math.Abs(Math.Max(0, at) - r));
        double d = Math.Abs(at - r);
        return d < 1 ? 1.25 * d * d * d - 2.25 * d * d + 1 : d < 2 ? -0.75 * (d * d * d - 5 * d * d + 8 * d - 4) : 0;
    }
}

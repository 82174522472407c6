using Mdm.Kernels;
using static Mdm.CudaEmulator.Tests.KernelArrays;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Changes of resolution against float64.</summary>
internal sealed class ResamplingKernelTests(string order) : KernelFixture(order)
{
    [Test]
    public void Nearest_upsampling_and_its_gradient(
        [ValueSource(nameof(Activations))] DType type, [Values(1, 3, 16)] int channels, [Values(0, 1)] int shift)
    {
        const int B = 2, H = 3, W = 5;
        int n = B * H * W * channels;
        double[] x = Random(n, 1), dy = Random(4 * n, 2), y = new double[4 * n], dx = Random(n, 3);
        Ptr px = Arrays.New(type, x, shift), py = Arrays.Empty(type, 4 * n), pdx = Arrays.New(type, dx, shift);
        for (int i = 0; i < 4 * n; i++)
        {
            (int c, int w, int line) = (i % channels, i / channels % (2 * W), i / channels / (2 * W));
            int from = (line / 2 * W + w / 2) * channels + c;
            y[i] = x[from];
            dx[from] += dy[i];
        }

        Kernels.UpsampleNearest(B, H, W, channels, px, py);
        Assert.That(Arrays.Read(py, 4 * n), Is.EqualTo(y));
        Kernels.UpsampleNearestBackward(B, H, W, channels, Arrays.New(type, dy), AddTo(pdx));
        Near(Arrays.Read(pdx, n), dx, type);
    }

    [Test]
    public void Pooling_and_its_gradient([ValueSource(nameof(Activations))] DType type, [Values(1, 3, 16)] int channels,
        [Values(1, 2, 3)] int factor, [Values(0, 1)] int shift)
    {
        const int B = 2;
        int h = 2 * factor, w = 4 * factor, small = B * 2 * 4 * channels, n = small * factor * factor;
        double[] x = Random(n, 1), dy = Random(small, 2), y = new double[small], dx = Random(n, 3);
        Ptr px = Arrays.New(type, x, shift), py = Arrays.Empty(type, small), pdx = Arrays.New(type, dx, shift);
        for (int i = 0; i < n; i++)
        {
            (int c, int at, int line) = (i % channels, i / channels % w, i / channels / w);
            int to = (line / factor * 4 + at / factor) * channels + c;
            y[to] += x[i] / (factor * factor);
            dx[i] += dy[to] / (factor * factor);
        }

        Kernels.AveragePool(B, h, w, channels, factor, px, py);
        Near(Arrays.Read(py, small), y, type);
        Kernels.AveragePoolBackward(B, h, w, channels, factor, Arrays.New(type, dy), AddTo(pdx));
        Near(Arrays.Read(pdx, n), dx, type);
    }

    [Test]
    public void Resizing([ValueSource(nameof(Activations))] DType type, [Values] ResizeFilter filter, [Values(3, 8)] int channels,
        [Values("5x7 to 9x3", "4x4 to 8x8", "8x6 to 2x3", "1x1 to 3x2")] string sizes)
    {
        int[] s = Array.ConvertAll(sizes.Split('x', ' ').Where(part => part != "to").ToArray(), int.Parse);
        (int h, int w, int outH, int outW) = (s[0], s[1], s[2], s[3]);
        double[] x = Random(2 * h * w * channels, 1), y = new double[2 * outH * outW * channels];
        for (int i = 0; i < y.Length; i++)
        {
            (int c, int pixel) = (i % channels, i / channels);
            (int q, int p, int b) = (pixel % outW, pixel / outW % outH, pixel / outW / outH);
            foreach ((int row, double down) in Taps(filter, p, h, outH))
                foreach ((int column, double across) in Taps(filter, q, w, outW))
                    y[i] += down * across * x[((b * h + row) * w + column) * channels + c];
        }

        Ptr py = Arrays.Empty(type, y.Length);
        Kernels.Resize(filter, 2, h, w, channels, outH, outW, Arrays.New(type, x), py);
        Near(Arrays.Read(py, y.Length), y, type);
    }

    /// <summary>Positions and weights, from the definition of the kernels: the triangle, and Keys' cubic with a = -0.75.</summary>
    private static IEnumerable<(int At, double Weight)> Taps(ResizeFilter filter, int i, int size, int outSize)
    {
        double centre = (i + 0.5) * size / outSize - 0.5;
        if (filter == ResizeFilter.Bilinear)
            centre = Math.Clamp(centre, 0, size - 1);
        for (int k = (int)Math.Floor(centre) - 1; k <= (int)Math.Floor(centre) + 2; k++)
        {
            double d = Math.Abs(centre - k);
            double cubic = d <= 1 ? 1.25 * d * d * d - 2.25 * d * d + 1 : -0.75 * (d * d * d - 5 * d * d + 8 * d - 4);
            double weight = filter == ResizeFilter.Bilinear ? Math.Max(0, 1 - d) : cubic;
            yield return (Math.Clamp(k, 0, size - 1), weight);
        }
    }
}

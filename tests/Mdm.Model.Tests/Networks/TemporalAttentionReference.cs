using Mdm.Model.Networks;
using Mdm.Tensors.Modules;

namespace Mdm.Model.Tests.Networks;

/// <summary>Attention over frames in float64, written as its formulas are: plain loops over x[frame][y,x,channel].</summary>
internal sealed class TemporalAttentionReference(ParameterStore store, int height, int width, int channels, bool rotary)
{
    /// <summary>x [samples·frames,H,W,C].</summary>
    public double[] Compute(double[] x, int samples)
    {
        int image = height * width * channels, frames = x.Length / image / samples;
        double[][] images = [.. x.Chunk(image).Select(one => Convolved(one, height, width, 2, "down_conv"))];
        int h = (height + 1) / 2, w = (width + 1) / 2;
        for (int s = 0; s < samples; s++)
            for (int p = 0; p < h * w; p++)
            {
                double[][] pixel = [.. Enumerable.Range(0, frames)
                    .Select(t => images[s * frames + t][(p * channels)..((p + 1) * channels)])];
                double[][] made = Transformed(pixel);
                for (int t = 0; t < frames; t++)
                    made[t].CopyTo(images[s * frames + t], p * channels);
            }

        double[] y = [.. images.SelectMany(one => Convolved(Doubled(one, h, w), 2 * h, 2 * w, 1, "up_conv"))];
        return [.. y.Zip(x, (a, b) => a + b)];
    }

    private double[][] Transformed(double[][] x)
    {
        double[][] qkv = [.. x.Select(row => Linear(Normed(row, "attn.norm"), "attn.qkv"))];
        int heads = channels / TemporalAttention.HeadWidth, d = TemporalAttention.HeadWidth;
        var y = new double[x.Length][];
        for (int t = 0; t < x.Length; t++)
        {
            double[] attended = new double[channels];
            for (int head = 0; head < heads; head++)
            {
                double[] q = Turned(qkv[t][(head * d)..((head + 1) * d)], t);
                int first = channels + head * d;
                double[] scores = [.. qkv.Select((row, s) =>
                    Turned(row[first..(first + d)], s).Zip(q, (a, b) => a * b).Sum() / Math.Sqrt(d))];
                double[] weights = [.. scores.Select(score => Math.Exp(score - scores.Max()))];
                for (int s = 0; s < x.Length; s++)
                    for (int j = 0; j < d; j++)
                        attended[head * d + j] += weights[s] / weights.Sum() * qkv[s][2 * channels + head * d + j];
            }

            double[] h = Sum(x[t], Linear(attended, "attn.proj_out"));
            double[] wide = [.. Linear(Normed(h, "mlp.main.0"), "mlp.main.1").Select(Gelu)];
            y[t] = Sum(h, Linear(wide, "mlp.main.3"));
        }

        return y;
    }

    // (a + ib)·e^{iφ} for each pair, φ = t·10000^(-2k/d).
    private double[] Turned(double[] head, int t)
    {
        if (!rotary)
            return head;
        double[] y = new double[head.Length];
        for (int k = 0; k < head.Length / 2; k++)
        {
            (double sin, double cos) = Math.SinCos(t / Math.Pow(10000, 2.0 * k / head.Length));
            y[2 * k] = head[2 * k] * cos - head[2 * k + 1] * sin;
            y[2 * k + 1] = head[2 * k] * sin + head[2 * k + 1] * cos;
        }

        return y;
    }

    private double[] Weights(string name) => [.. store.ToFileLayout(store.ByName[name]).Select(v => (double)v)];

    private double[] Linear(double[] x, string layer)
    {
        double[] w = Weights($"{layer}.weight"), b = Weights($"{layer}.bias");
        return [.. b.Select((bias, o) => bias + x.Select((v, i) => v * w[o * x.Length + i]).Sum())];
    }

    private double[] Normed(double[] x, string layer)
    {
        double[] w = Weights($"{layer}.weight"), b = Weights($"{layer}.bias");
        double mean = x.Average(), deviation = Math.Sqrt(x.Average(v => (v - mean) * (v - mean)) + 1e-5);
        return [.. x.Select((v, i) => (v - mean) / deviation * w[i] + b[i])];
    }

    // Weights [O,I,3,3], zero padding 1.
    private double[] Convolved(double[] x, int h, int w, int stride, string layer)
    {
        double[] weight = Weights($"{layer}.weight"), bias = Weights($"{layer}.bias");
        int outHeight = (h - 1) / stride + 1, outWidth = (w - 1) / stride + 1;
        double[] y = new double[outHeight * outWidth * channels];
        for (int at = 0; at < y.Length; at++)
        {
            int o = at % channels, q = at / channels % outWidth, p = at / channels / outWidth;
            y[at] = bias[o];
            for (int tap = 0; tap < 9; tap++)
            {
                int row = p * stride + tap / 3 - 1, column = q * stride + tap % 3 - 1;
                for (int i = 0; i < channels && row >= 0 && row < h && column >= 0 && column < w; i++)
                    y[at] += x[(row * w + column) * channels + i] * weight[(o * channels + i) * 9 + tap];
            }
        }

        return y;
    }

    private double[] Doubled(double[] x, int h, int w)
    {
        double[] y = new double[4 * x.Length];
        for (int at = 0; at < y.Length; at++)
        {
            int c = at % channels, q = at / channels % (2 * w), p = at / channels / (2 * w);
            y[at] = x[(p / 2 * w + q / 2) * channels + c];
        }

        return y;
    }

    private static double[] Sum(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x + y)];

    // x·Φ(x), Φ from its power series.
    private static double Gelu(double x)
    {
        double term = x, sum = x;
        for (int n = 1; n < 80; n++)
        {
            term *= x * x / (2 * n + 1);
            sum += term;
        }

        return x * (0.5 + sum * Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI));
    }
}

using Mdm.Kernels;

namespace Mdm.Tests;

/// <summary>Attention and its gradients in float64, a query at a time.</summary>
internal sealed class AttentionReference
{
    public AttentionReference(AttentionShape s, double[] q, double[] k, double[] v, double[]? mask, double[]? bias, double[] dO)
    {
        int c = s.Heads * s.HeadWidth;
        (O, DQ, DK, DV) = (new double[q.Length], new double[q.Length], new double[k.Length], new double[k.Length]);
        LogSumExp = new double[s.Batch * s.Heads * s.Queries];
        for (int n = 0; n < LogSumExp.Length; n++)
        {
            (int b, int h, int i) = (n / s.Queries / s.Heads, n / s.Queries % s.Heads, n % s.Queries);
            int row = ((b * s.Queries + i) * c) + (h * s.HeadWidth);
            int[] keys = [.. Enumerable.Range(0, s.Keys).Where(j => mask == null || mask[(b * s.Keys) + j] != 0)];
            int Key(int j) => ((b * s.Keys + j) * c) + (h * s.HeadWidth);
            double[] scores = Array.ConvertAll(keys, j =>
                (s.Scale * Dot(q, row, k, Key(j), s.HeadWidth)) + (bias?[((h * s.Queries + i) * s.Keys) + j] ?? 0));
            double max = scores.DefaultIfEmpty(0).Max(), sum = scores.Sum(x => Math.Exp(x - max));
            LogSumExp[n] = max + Math.Log(sum);
            double[] p = Array.ConvertAll(scores, x => Math.Exp(x - max) / sum);
            double[] dp = Array.ConvertAll(keys, j => Dot(dO, row, v, Key(j), s.HeadWidth));
            double mean = p.Zip(dp, (x, y) => x * y).Sum();
            for (int j = 0; j < keys.Length; j++)
                for (int d = 0; d < s.HeadWidth; d++)
                {
                    double ds = p[j] * (dp[j] - mean) * s.Scale;
                    O[row + d] += p[j] * v[Key(keys[j]) + d];
                    DV[Key(keys[j]) + d] += p[j] * dO[row + d];
                    DQ[row + d] += ds * k[Key(keys[j]) + d];
                    DK[Key(keys[j]) + d] += ds * q[row + d];
                }
        }

        Loss = O.Zip(dO, (x, y) => x * y).Sum();
    }

    public double[] O { get; }

    public double[] DQ { get; }

    public double[] DK { get; }

    public double[] DV { get; }

    public double[] LogSumExp { get; }

    /// <summary>o·dO, of which DQ, DK and DV are the gradients.</summary>
    public double Loss { get; }

    private static double Dot(double[] x, int at, double[] y, int from, int n)
    {
        double sum = 0;
        for (int d = 0; d < n; d++)
            sum += x[at + d] * y[from + d];
        return sum;
    }
}

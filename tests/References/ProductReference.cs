using Mdm.Kernels;

namespace Mdm.Tests;

/// <summary>Matrix products and 3x3 convolutions in float64, by their definitions.</summary>
internal static class ProductReference
{
    /// <summary>What a product makes of c: op(A)·op(B) + bias + residual, added to c or in its place; what lies beside the rows
    /// stays.</summary>
    public static double[] MatMul(
        MatMulShape s, double[] a, double[] b, double[] c, bool accumulate, double[]? bias = null, double[]? residual = null)
    {
        double[] result = [.. c];
        for (int i = 0; i < s.M; i++)
        {
            for (int j = 0; j < s.N; j++)
            {
                int at = i * s.LdC + j;
                double sum = (accumulate ? c[at] : 0) + (bias?[j] ?? 0) + (residual?[at] ?? 0);
                for (int p = 0; p < s.K; p++)
                    sum += a[s.TransposeA ? p * s.LdA + i : i * s.LdA + p] * b[s.TransposeB ? j * s.LdB + p : p * s.LdB + j];
                result[at] = sum;
            }
        }

        return result;
    }

    /// <summary>Every output channel and tap of a convolution: act(first index in x, first in w, index in y); the sum over input
    /// channels is left to the caller.</summary>
    public static void ForEachTap(ConvShape s, Action<int, int, int> act)
    {
        int shift = s.Upsample ? 1 : 0;
        for (int row = 0; row < s.Batch * s.OutHeight; row++)
        {
            for (int q = 0; q < s.OutWidth; q++)
            {
                for (int tap = 0; tap < 9; tap++)
                {
                    int h = row % s.OutHeight * s.Stride + tap / 3 - 1, w = q * s.Stride + tap % 3 - 1;
                    if (h < 0 || w < 0 || h >= s.InHeight || w >= s.InWidth)
                        continue;
                    int x = ((row / s.OutHeight * s.Height + (h >> shift)) * s.Width + (w >> shift)) * s.InChannels;
                    for (int o = 0; o < s.OutChannels; o++)
                        act(x, (o * 9 + tap) * s.InChannels, (row * s.OutWidth + q) * s.OutChannels + o);
                }
            }
        }
    }
}

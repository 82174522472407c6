using System.Numerics;
using System.Runtime.InteropServices;
using Mdm.Tests;

namespace Mdm.Model.Tests.Text;

/// <summary>A T5 encoder in float64, written from its description alone.</summary>
internal static class T5Reference
{
    /// <param name="model">Sizes and weights.</param>
    /// <param name="ids">One caption.</param>
    /// <param name="mask">False: the token is not attended to.</param>
    /// <returns>[tokens, width].</returns>
    public static double[] Encode(T5Folder model, int[] ids, bool[] mask)
    {
        Dictionary<string, double[]> weights = model.Tensors().ToDictionary(
            t => t.Name, t => Array.ConvertAll(model.Values(t.Name, t.Shape), v => (double)v));
        int length = ids.Length, width = model.Width, inner = model.Heads * model.HeadWidth;
        double[] x = new double[length * width];
        for (int t = 0; t < length; t++)
            Array.Copy(weights["shared.weight"], ids[t] * width, x, t * width, width);
        double[] bias = weights["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"];
        for (int layer = 0; layer < model.Layers; layer++)
        {
            string at = $"encoder.block.{layer}.layer";
            double[] W(string name) => weights[$"{at}.{name}.weight"];
            double[] n = Norm(x, W("0.layer_norm"));
            double[] attended = Attend(model, Times(n, W("0.SelfAttention.q"), width), Times(n, W("0.SelfAttention.k"), width),
                Times(n, W("0.SelfAttention.v"), width), bias, mask);
            Add(x, Times(attended, W("0.SelfAttention.o"), inner));
            n = Norm(x, W("1.layer_norm"));
            double[] hidden;
            if (model.Gated)
            {
                double[] gate = Times(n, W("1.DenseReluDense.wi_0"), width), linear = Times(n, W("1.DenseReluDense.wi_1"), width);
                hidden = gate.Zip(linear, (u, v) =>
                    0.5 * u * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (u + 0.044715 * u * u * u))) * v).ToArray();
            }
            else
            {
                hidden = Array.ConvertAll(Times(n, W("1.DenseReluDense.wi"), width), v => Math.Max(0, v));
            }

            Add(x, Times(hidden, W("1.DenseReluDense.wo"), model.FeedForward));
        }

        return Norm(x, weights["encoder.final_layer_norm.weight"]);
    }

    private static double[] Attend(T5Folder model, double[] q, double[] k, double[] v, double[] bias, bool[] mask)
    {
        int length = mask.Length, d = model.HeadWidth, inner = model.Heads * d;
        double[] result = new double[length * inner];
        Parallel.For(0, model.Heads * length, job =>
        {
            int head = job / length, query = job % length;
            double[] p = new double[length];
            for (int key = 0; key < length; key++)
            {
                double score = Dot(q.AsSpan(query * inner + head * d, d), k.AsSpan(key * inner + head * d, d));
                p[key] = mask[key] ? score + bias[Bucket(key - query) * model.Heads + head] : double.NegativeInfinity;
            }

            double most = p.Max(), sum = 0;
            for (int key = 0; key < length; key++)
                sum += p[key] = Math.Exp(p[key] - most);
            for (int key = 0; key < length; key++)
                for (int i = 0; i < d; i++)
                    result[query * inner + head * d + i] += p[key] / sum * v[key * inner + head * d + i];
        });
        return result;
    }

    // 32 buckets up to 128: 0..7 one by one, then 8 + floor(8·log(d/8)/log(16)), at most 15; 16 more for keys on the right.
    private static int Bucket(int distance)
    {
        int d = Math.Abs(distance), bucket = d;
        if (d >= 8)
        {
            bucket = 8;
            while (bucket < 15 && Math.Pow(d / 8.0, 8) >= Math.Pow(16, bucket + 1 - 8) * (1 - 1e-12))
                bucket++;
        }

        return bucket + (distance > 0 ? 16 : 0);
    }

    private static double[] Norm(double[] x, double[] weight)
    {
        double[] y = new double[x.Length];
        for (int row = 0; row < x.Length; row += weight.Length)
        {
            ReadOnlySpan<double> own = x.AsSpan(row, weight.Length);
            double scale = 1 / Math.Sqrt(Dot(own, own) / weight.Length + 1e-6);
            for (int i = 0; i < weight.Length; i++)
                y[row + i] = x[row + i] * scale * weight[i];
        }

        return y;
    }

    /// <summary>x wᵀ: x [rows, inputs], w [outputs, inputs].</summary>
    private static double[] Times(double[] x, double[] w, int inputs)
    {
        int rows = x.Length / inputs, outputs = w.Length / inputs;
        double[] y = new double[rows * outputs];
        // A few outputs at a time stay in the cache while all rows pass.
        const int Few = 16;
        Parallel.For(0, (outputs + Few - 1) / Few, part =>
        {
            for (int row = 0; row < rows; row++)
                for (int o = part * Few; o < Math.Min(outputs, (part + 1) * Few); o++)
                    y[row * outputs + o] = Dot(x.AsSpan(row * inputs, inputs), w.AsSpan(o * inputs, inputs));
        });
        return y;
    }

    private static void Add(double[] x, double[] y)
    {
        for (int i = 0; i < x.Length; i++)
            x[i] += y[i];
    }

    private static double Dot(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        ReadOnlySpan<Vector<double>> u = MemoryMarshal.Cast<double, Vector<double>>(a);
        ReadOnlySpan<Vector<double>> v = MemoryMarshal.Cast<double, Vector<double>>(b)[..u.Length];
        Vector<double> sum = Vector<double>.Zero, other = Vector<double>.Zero;
        int i = 0;
        for (; i + 1 < u.Length; i += 2)
        {
            sum += u[i] * v[i];
            other += u[i + 1] * v[i + 1];
        }

        double result = Vector.Sum(sum + other);
        for (int k = i * Vector<double>.Count; k < a.Length; k++)
            result += a[k] * b[k];
        return result;
    }
}

using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Tensors;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Every compilation of the attention kernels against the formulas in float64: odd lengths, masks, biases, rows inside
/// wider rows (aligned and not), gradients that are added, and either size of block.</summary>
public sealed class AttentionTests
{
    public enum Masked
    {
        No,
        Some,
        AllButOne,

        /// <summary>The first sample has no key at all.</summary>
        OneSample,
    }

    /// <param name="Extra">Columns beside the heads in every row; the heads begin at Extra/2.</param>
    public sealed record Case(DType Type, AttentionShape Shape, Masked Mask = Masked.No, int Extra = 0, bool Bias = false)
    {
        public override string ToString() =>
            $"{Type}, {Shape.Batch}x{Shape.Heads}x{Shape.HeadWidth}, {Shape.Queries} queries, {Shape.Keys} keys, mask {Mask}, "
            + $"{Extra} columns more{(Bias ? ", bias" : "")}";
    }

    private static IEnumerable<Case> Cases()
    {
        (int Queries, int Keys, Masked Mask)[] sizes =
        [
            (1, 1, Masked.No), (5, 37, Masked.Some), (64, 65, Masked.AllButOne), (130, 64, Masked.No),
            (65, 130, Masked.OneSample),
        ];

        // On tensor cores: widths that fill their compilation and widths that do not. The emulated GPU has 4 multiprocessors;
        // with fewer blocks of 128 rows, they get 64 each.
        foreach (int width in new[] { 32, 48, 64, 96, 128, 8, 40, 72, 88, 104 })
            foreach ((int queries, int keys, Masked mask) in width % 32 == 0 ? sizes : sizes[3..])
                yield return new(DType.BFloat16, Shape(mask == Masked.No ? 1 : 2, 1, width, queries, keys), mask, 16);
        foreach (int width in new[] { 32, 48, 64, 96, 128, 40, 72 })
        {
            yield return new(DType.BFloat16, Shape(2, 2, width, 130, 66), Masked.Some, 16);
            yield return new(DType.BFloat16, Shape(2, 2, width, 37, 130), width == 64 ? Masked.No : Masked.OneSample, 16);
        }

        // Many tiles.
        yield return new(DType.BFloat16, Shape(1, 1, 64, 300, 523), Masked.Some, 16);
        yield return new(DType.Float32, Shape(1, 1, 64, 300, 523), Masked.Some, 16);

        // Rows that are not aligned, and odd widths.
        foreach (int width in new[] { 1, 20, 47, 63, 96, 121 })
            yield return new(DType.BFloat16, Shape(2, 2, width, 37, 70), Masked.Some, 6);

        // The generic kernels: both types, each number of columns a block, several slices.
        foreach (int width in new[] { 1, 64, 81, 128, 160 })
            foreach ((int queries, int keys, Masked mask) in width % 64 == 0 ? sizes : sizes[3..])
                yield return new(DType.Float32, Shape(2, 1, width, queries, keys), mask, 8);
        yield return new(DType.Float32, Shape(2, 3, 20, 37, 70), Masked.Some, 5);
        yield return new(DType.Float32, Shape(1, 2, 64, 70, 66), Masked.Some, 8, Bias: true);
        yield return new(DType.Float32, Shape(1, 1, 9, 5, 7) with { Scale = -0.5f });
        foreach (int width in new[] { 136, 200 })
            yield return new(DType.BFloat16, Shape(1, 2, width, 65, 66), Masked.Some, 16);
        yield return new(DType.BFloat16, Shape(2, 2, 64, 70, 66), Masked.Some, 16, Bias: true);
        yield return new(DType.BFloat16, Shape(1, 1, 16, 5, 7) with { Scale = -0.5f });

        // Nothing to attend to, and nobody who asks.
        foreach (DType type in new[] { DType.BFloat16, DType.Float32 })
        {
            yield return new(type, Shape(1, 2, 32, 5, 0));
            yield return new(type, Shape(1, 2, 32, 0, 5));
        }
    }

    private static AttentionShape Shape(int batch, int heads, int width, int queries, int keys) =>
        new(batch, heads, width, queries, keys, 1 / MathF.Sqrt(width));

    [TearDown]
    public void ForgetError() => Planted.ForgetError();

    [TestCaseSource(nameof(Cases))]
    public void Output_and_gradients(Case test)
    {
        AttentionShape s = test.Shape;
        int c = s.Heads * s.HeadWidth, queryRows = s.Batch * s.Queries, keyRows = s.Batch * s.Keys;
        double tolerance = test.Type == DType.Float32 ? 1e-5 : 1e-2;
        using Operands on = new(Devices.Open("cuda"), test.Type, c, test.Extra);
        double[] q = Draw(queryRows * c, 1), k = Draw(keyRows * c, 2), v = Draw(keyRows * c, 3), dO = Draw(queryRows * c, 4);
        double[]? mask = DrawMask(test.Mask, s), bias = test.Bias ? Draw(s.Heads * s.Queries * s.Keys, 5) : null;
        Reference expected = new(s, q, k, v, mask, bias, dO);

        Rows pq = on.Rows(q), pk = on.Rows(k), pv = on.Rows(v), pdO = on.Rows(dO), po = on.Rows(new double[q.Length]);
        Ptr pMask = on.Floats(mask), pBias = on.Floats(bias), sums = on.Floats(new double[s.Batch * s.Heads * s.Queries]);
        on.Device.Kernels.AttentionForward(s, pq, pk, pv, pMask, po, sums, pBias);
        on.Near(po, expected.O, tolerance, "o");
        double[] logSums = on.Floats(sums, expected.LogSumExp.Length);
        for (int i = 0; i < logSums.Length; i++)
            Assert.That(logSums[i], Is.EqualTo(expected.LogSumExp[i]).Within(1e-5 + (1e-5 * Math.Abs(expected.LogSumExp[i]))));

        Rows dq = on.Rows(new double[q.Length]), dk = on.Rows(new double[k.Length]), dv = on.Rows(new double[k.Length]);
        void Backward(bool wantsQ, bool wantsK, bool wantsV, bool add) => on.Device.Kernels.AttentionBackward(
            s, pq, pk, pv, pMask, po, sums, pdO, wantsQ ? To(dq, add) : default, wantsK ? To(dk, add) : default,
            wantsV ? To(dv, add) : default, pBias);
        Backward(true, true, true, false);
        // Of a single key the weight is 1 whatever q is: then dq and dk are 0 but for rounding.
        double scale = Math.Max(Norm(expected.DV), 1e-30);
        on.Near(dv, expected.DV, tolerance, "dv");
        on.Near(dq, expected.DQ, tolerance, "dq", scale / 10);
        on.Near(dk, expected.DK, tolerance, "dk", scale / 10);
        Backward(true, false, false, true);
        Backward(false, true, false, true);
        on.Near(dq, Twice(expected.DQ), tolerance, "dq added", scale / 10);
        on.Near(dk, Twice(expected.DK), tolerance, "dk added", scale / 10);
        on.Near(dv, expected.DV, tolerance, "dv not asked for");
        Backward(false, false, true, true);
        on.Near(dv, Twice(expected.DV), tolerance, "dv added");
    }

    [TestCase(DType.Float32, 1e-4)]
    [TestCase(DType.BFloat16, 1e-2)]
    public void Scores_of_hundreds_are_stable(DType type, double tolerance)
    {
        AttentionShape s = new(1, 1, 64, 66, 130, 1);
        using Operands on = new(Devices.Open("cuda"), type, 64, 0);
        double[] q = Draw(66 * 64, 1, 8), k = Draw(130 * 64, 2, 8), v = Draw(130 * 64, 3), dO = Draw(66 * 64, 4);
        Reference expected = new(s, q, k, v, null, null, dO);
        Assert.That(expected.LogSumExp.Max(), Is.GreaterThan(500));
        Rows pq = on.Rows(q), pk = on.Rows(k), pv = on.Rows(v), po = on.Rows(new double[q.Length]);
        Rows dq = on.Rows(new double[q.Length]);
        Ptr sums = on.Floats(new double[66]);
        on.Device.Kernels.AttentionForward(s, pq, pk, pv, Ptr.None, po, sums);
        on.Near(po, expected.O, tolerance, "o");
        on.Device.Kernels.AttentionBackward(s, pq, pk, pv, Ptr.None, po, sums, on.Rows(dO), To(dq, false), default, default);
        Assert.That(on.Read(dq), Has.All.Matches<double>(double.IsFinite));
    }

    private static RowsTarget To(Rows rows, bool add) => new(rows.Ptr, rows.Stride, add);

    private static double[] Twice(double[] x) => Array.ConvertAll(x, y => 2 * y);

    private static double Norm(double[] x) => Math.Sqrt(x.Sum(y => y * y));

    /// <summary>Numbers that either type can represent.</summary>
    private static double[] Draw(int n, int seed, double range = 1)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, n).Select(_ => range * (random.Next(-128, 128) / 128.0))];
    }

    private static double[]? DrawMask(Masked mask, AttentionShape s) => mask == Masked.No ? null :
    [
        .. Enumerable.Range(0, s.Batch * s.Keys).Select(i => mask switch
        {
            Masked.AllButOne => i % s.Keys == s.Keys - 1 ? 1.0 : 0,
            Masked.OneSample => i < s.Keys ? 0.0 : 1,
            _ => i % 3 == 1 ? 0.0 : 1,
        }),
    ];

    /// <summary>Device memory of a test, with rows of all heads inside wider rows of NaN.</summary>
    private sealed class Operands(IDevice device, DType type, int columns, int extra) : IDisposable
    {
        private readonly List<(nint Address, long Bytes)> _memory = [];

        public IDevice Device => device;

        private int Stride => columns + extra;

        public Rows Rows(double[] values)
        {
            double[] wide = new double[values.Length / columns * Stride];
            Array.Fill(wide, double.NaN);
            for (int i = 0; i < values.Length; i++)
                wide[(i / columns * Stride) + (extra / 2) + (i % columns)] = values[i];
            byte[] bytes = type == DType.Float32
                ? MemoryMarshal.AsBytes<float>(Array.ConvertAll(wide, x => (float)x)).ToArray()
                : MemoryMarshal.AsBytes<ushort>(Array.ConvertAll(wide, ToBFloat16)).ToArray();
            return new(new Ptr(Place(bytes), type) + (extra / 2), Stride);
        }

        public Ptr Floats(double[]? values) => values == null ? Ptr.None
            : new(Place(MemoryMarshal.AsBytes<float>(Array.ConvertAll(values, x => (float)x)).ToArray()), DType.Float32);

        public double[] Floats(Ptr at, int count)
        {
            float[] values = new float[count];
            device.Download(at.Address, MemoryMarshal.AsBytes(values.AsSpan()));
            return Array.ConvertAll(values, x => (double)x);
        }

        /// <summary>The columns of the heads; the others must still be NaN.</summary>
        public double[] Read(Rows rows)
        {
            nint start = (rows.Ptr + (-extra / 2)).Address;
            byte[] bytes = new byte[_memory.Find(m => m.Address == start).Bytes];
            device.Download(start, bytes);
            float[] wide = type == DType.Float32 ? MemoryMarshal.Cast<byte, float>(bytes).ToArray()
                : Array.ConvertAll(MemoryMarshal.Cast<byte, ushort>(bytes).ToArray(), FromBFloat16);
            bool Within(int i) => i % Stride >= extra / 2 && i % Stride < (extra / 2) + columns;
            int used = bytes.Length / type.Size() / Stride * Stride;
            Assert.That(wide.Take(used).Where((_, i) => !Within(i)), Is.All.NaN, "columns beside the heads");
            return [.. wide.Take(used).Where((_, i) => Within(i)).Select(x => (double)x)];
        }

        /// <summary>‖found - expected‖ ≤ tolerance · max(‖expected‖, least).</summary>
        public void Near(Rows rows, double[] expected, double tolerance, string what, double least = 0)
        {
            double[] found = Read(rows);
            Assert.That(found, Has.Length.EqualTo(expected.Length), what);
            double error = Norm([.. found.Zip(expected, (x, y) => x - y)]);
            Assert.That(error, Is.LessThanOrEqualTo(tolerance * Math.Max(Norm(expected), least)), what);
        }

        public void Dispose() => _memory.ForEach(m => device.Free(m.Address, m.Bytes));

        private static ushort ToBFloat16(double x) => (ushort)(BitConverter.SingleToUInt32Bits((float)x) >> 16);

        private static float FromBFloat16(ushort x) => BitConverter.UInt32BitsToSingle((uint)x << 16);

        private nint Place(byte[] bytes)
        {
            // Also without an element: the kernels must see that there is an operand.
            nint address = device.Allocate(Math.Max(16, bytes.Length));
            _memory.Add((address, Math.Max(16, bytes.Length)));
            device.Upload(bytes, address);
            return address;
        }
    }

    /// <summary>The formulas in float64, a query at a time.</summary>
    private sealed class Reference
    {
        public Reference(AttentionShape s, double[] q, double[] k, double[] v, double[]? mask, double[]? bias, double[] dO)
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
        }

        public double[] O { get; }

        public double[] DQ { get; }

        public double[] DK { get; }

        public double[] DV { get; }

        public double[] LogSumExp { get; }

        private static double Dot(double[] x, int at, double[] y, int from, int n)
        {
            double sum = 0;
            for (int d = 0; d < n; d++)
                sum += x[at + d] * y[from + d];
            return sum;
        }
    }
}

using Mdm.Kernels;
using Mdm.Kernels.Cpu;

namespace Mdm.Bench;

/// <summary>Kernels that memory bounds, as a share of the copy bandwidth measured beside them (bytes that must be read and
/// written at least once), and attention as a share of the multiply-add peak.</summary>
internal static class MemoryBench
{
    private static readonly GroupNormShape[] Norms =
    [
        new(64, 1024, 128, 32, 1e-5f, true),
        new(64, 4096, 32, 32, 1e-5f, true),
        new(16, 256, 256, 32, 1e-5f, true),
        new(1, 16384, 64, 32, 1e-5f, true),
    ];

    private static readonly AttentionShape[] Attentions =
    [
        new(32, 8, 12, 64, 64, 0.29f),
        new(8, 8, 8, 256, 256, 0.35f),
        new(4, 8, 32, 256, 256, 0.18f),
        new(2, 8, 48, 1024, 1024, 0.14f),
        new(2, 8, 96, 256, 256, 0.1f),
        new(8, 8, 32, 256, 32, 0.18f),
    ];

    public static IEnumerable<Result> Run(CpuLevel[] levels)
    {
        CpuLevel before = CpuFeatures.Level;
        foreach (CpuLevel level in levels)
        {
            CpuFeatures.Level = level;
            foreach (Result r in AtLevel(level))
                yield return r;
        }

        CpuFeatures.Level = before;
    }

    private static IEnumerable<Result> AtLevel(CpuLevel level)
    {
        using var device = new CpuDevice();
        IKernels kernels = device.Kernels;
        var operands = new List<(Ptr P, long Count)>();
        Ptr New(long count)
        {
            operands.Add((Operands.Random(device, count), count));
            return operands[^1].P;
        }

        Result Bytes(string name, double floats, Action act)
        {
            (double rate, double share) = Measure.AgainstPeak(act, 4 * floats, Peaks.Copy);
            foreach ((Ptr p, long count) in operands)
                Operands.Free(device, p, count);
            operands.Clear();
            return new Result("memory", $"{name} {level.ToString().ToLowerInvariant()}", rate / 1e9, "GB/s", share);
        }

        foreach (GroupNormShape s in Norms)
        {
            long n = (long)s.Batch * s.Positions * s.Channels;
            string name = $"{s.Batch}x{s.Positions}x{s.Channels}/{s.Groups}";
            Ptr x = New(n), y = New(n), gamma = New(s.Channels), beta = New(s.Channels), t = New(2L * s.Batch * s.Channels);
            Ptr mean = New(s.Batch * s.Groups), rstd = New(s.Batch * s.Groups);
            yield return Bytes($"GroupNorm+SiLU {name}", 2 * n,
                () => kernels.GroupNormForward(s, x, gamma, beta, t, y, mean, rstd));
            (x, y, gamma, beta, t) = (New(n), New(n), New(s.Channels), New(s.Channels), New(2L * s.Batch * s.Channels));
            (mean, rstd) = (New(s.Batch * s.Groups), New(s.Batch * s.Groups));
            Ptr dx = New(n), dt = New(2L * s.Batch * s.Channels), dgamma = New(s.Channels), dbeta = New(s.Channels);
            yield return Bytes($"GroupNorm+SiLU backward {name}", 3 * n, () => kernels.GroupNormBackward(
                s, y, x, gamma, beta, t, mean, rstd, Into(dx), Into(dgamma), Into(dbeta), Into(dt)));
        }

        const int Rows = 16384, Cols = 512, N = 8 << 20;
        Ptr lx = New(N), ly = New(N), lg = New(Cols), lb = New(Cols), lm = New(Rows), lr = New(Rows);
        yield return Bytes($"LayerNorm {Rows}x{Cols}", 2.0 * N,
            () => kernels.LayerNormForward(Rows, Cols, 1e-5f, lx, lg, lb, ly, lm, lr));
        (lx, ly, lg, lb, lm, lr) = (New(N), New(N), New(Cols), New(Cols), New(Rows), New(Rows));
        Ptr ldx = New(N), ldg = New(Cols), ldb = New(Cols);
        yield return Bytes($"LayerNorm backward {Rows}x{Cols}", 3.0 * N,
            () => kernels.LayerNormBackward(Rows, Cols, ly, lx, lg, lm, lr, Into(ldx), Into(ldg), Into(ldb)));
        Ptr silu = New(N), siluOut = New(N);
        yield return Bytes($"SiLU {N}", 2.0 * N, () => kernels.Unary(UnaryFunction.Silu, N, silu, siluOut));
        Ptr gelu = New(N), geluOut = New(N);
        yield return Bytes($"GELU {N}", 2.0 * N, () => kernels.Unary(UnaryFunction.Gelu, N, gelu, geluOut));
        Ptr bias = New(64), dy = New(65536 * 64);
        yield return Bytes("SumColumns 65536x64", 65536 * 64, () => kernels.SumColumns(65536, 64, dy, Into(bias)));
        Ptr noise = New(N);
        yield return Bytes($"Normal {N}", N, () => kernels.Normal(N, new RandomKey(1, 2), 0, noise));
        Ptr p = New(N), g = New(N), m = New(N), v = New(N), ema = New(N), state = new(New(16).Address, DType.Float64);
        kernels.Fill(N, 1e-4f, v);
        AdamOptions options = new(0.9f, 0.999f, 1e-8f, 0.01f, true, 1, 1);
        kernels.Zero(64, state.Address);
        // The norm reads g; the step reads p, g, m, v and the average, and writes all but g.
        yield return Bytes($"clip + Adam + EMA {N}", 10.0 * N, () =>
        {
            kernels.SquaredNorm(N, g, state);
            kernels.AdamStep(N, options, p, g, m, v, ema, Ptr.None, state);
        });

        foreach (AttentionShape s in Attentions)
        {
            int c = s.Heads * s.HeadWidth;
            Rows Make(int rows) => new(New((long)rows * c), c);
            Rows q = Make(s.Batch * s.Queries), o = Make(s.Batch * s.Queries), d = Make(s.Batch * s.Queries);
            Rows k = Make(s.Batch * s.Keys), w = Make(s.Batch * s.Keys);
            Ptr sums = New(s.Batch * s.Heads * s.Queries);
            RowsTarget MakeTarget(int rows) => new(New((long)rows * c), c, false);
            RowsTarget dq = MakeTarget(s.Batch * s.Queries), dk = MakeTarget(s.Batch * s.Keys), dv = MakeTarget(s.Batch * s.Keys);
            double products = 2.0 * s.Batch * s.Queries * s.Keys * c;
            string name = $"{s.Batch}x{s.Heads}x{s.HeadWidth} {s.Queries}x{s.Keys}";
            yield return Measure.Flops("memory", $"attention {name}", level,
                () => kernels.AttentionForward(s, q, k, w, Ptr.None, o, sums), 2 * products);
            yield return Measure.Flops("memory", $"attention backward {name}", level,
                () => kernels.AttentionBackward(s, q, k, w, Ptr.None, o, sums, d, dq, dk, dv), 5 * products);
            foreach ((Ptr ptr, long count) in operands)
                Operands.Free(device, ptr, count);
            operands.Clear();
        }
    }

    private static Target Into(Ptr p) => new(p, false);
}

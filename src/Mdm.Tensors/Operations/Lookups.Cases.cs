using Mdm.Kernels;
using Mdm.Tensors.Checks;
using static Mdm.Tensors.Checks.CaseInput;

namespace Mdm.Tensors.Operations;

internal static class LookupCases
{
    public static IEnumerable<OperationCase> All() => [.. Embedding(), .. Sinusoid(), .. Dropout(), .. Cast()];

    private static IEnumerable<OperationCase> Embedding()
    {
        (Shape Ids, int Rows, int Width, double[] Values, string What)[] shapes =
        [
            (new(1), 1, 1, [0], "one id"), (new(2, 5), 7, 3, [0, 6, 2, 2, 4, 1, 2], "repeated ids"),
            (new(3, 4), 5, 33, [4, 0, 4, 4], "odd width"), (new(9), 4, 6, [3, -1, 4, 0, 1000, -1000], "ids outside the table"),
        ];
        foreach ((Shape ids, int rows, int width, double[] values, string what) in shapes)
            yield return OperationCase.Of("Embedding", what,
                [Values("ids", ids, DType.Int32, values), Vector("table", new(rows, width))],
                t => Op.Embedding(t[0], t[1]),
                t => [.. t[0].SelectMany(id => t[1].Chunk(width).ElementAtOrDefault((int)id) ?? new double[width])]);
        yield return OperationCase.Refused("Embedding", "ids that are not integers",
            [Constant("ids", new(3)), Variable("table", new(2, 2))],
            t => Op.Embedding(t[0], t[1]), "expected int32 ids");
        yield return OperationCase.Refused("Embedding", "table without width",
            [Values("ids", new(3), DType.Int32, 0), Variable("table", new(2))],
            t => Op.Embedding(t[0], t[1]), "a table of shape [rows, width]");
    }

    private static IEnumerable<OperationCase> Sinusoid()
    {
        foreach ((int batch, int width) in new[] { (1, 2), (3, 10), (2, 66), (5, 256) })
        {
            int half = width / 2;
            // At t = 1000 an angle has an absolute error of 6e-5 if t·f is rounded to float32, as PyTorch does.
            yield return OperationCase.Of("Sinusoid", $"batch {batch}, width {width}", [Coefficients("t", new(batch), 0, 1000)],
                t => Op.Sinusoid(t[0], width),
                t => [.. from b in Enumerable.Range(0, batch)
                         from k in Enumerable.Range(0, width)
                         let angle = t[0][b] * Math.Exp(-(k % half) * Math.Log(10000) / half)
                         select k < half ? Math.Sin(angle) : Math.Cos(angle)], 1e-4);
        }

        yield return OperationCase.Refused("Sinusoid", "odd width", [Constant("t", new(2))],
            t => Op.Sinusoid(t[0], 5), "width 5, expected an even number");
        yield return OperationCase.Refused("Sinusoid", "no width", [Constant("t", new(2))],
            t => Op.Sinusoid(t[0], 0), "width 0, expected an even number");
    }

    private static IEnumerable<OperationCase> Dropout()
    {
        foreach ((Shape shape, float p, int drawn) in new (Shape, float, int)[]
        {
            (new(3, 5, 7), 0.3f, 0), (new(1), 0.5f, 5), (new(2, 333), 0.9f, 1000), (new(4, 4), 0.01f, 6),
        })
        {
            yield return OperationCase.Of("Dropout", $"{p} of {shape} after {drawn} draws", [Variable("x", shape)],
                t => Dropped(t[0], p, drawn), t => DropoutReference(t[0], p, (drawn + 3) / 4 * 4));
        }

        CaseInput x = Variable("x", new(3, 3));
        yield return OperationCase.Of("Dropout", "p = 0 is the identity", [x], t => Dropped(t[0], 0, 0), t => [.. t[0]]);
        yield return OperationCase.Of("Dropout", "no stream is the identity", [x], t => Op.Dropout(t[0], 0.5f), t => [.. t[0]]);
        foreach (float p in new[] { 1f, -0.5f, float.NaN })
            yield return OperationCase.Refused("Dropout", $"p = {p}", [x], t => Dropped(t[0], p, 0),
                "expected 0 or more and less than 1");
    }

    private static Tensor Dropped(Tensor x, float p, int drawn)
    {
        RandomStream? before = RandomStream.Current;
        RandomStream.Current = new RandomStream(11, 7);
        RandomStream.Current.Take(drawn);
        try
        {
            return Op.Dropout(x, p);
        }
        finally
        {
            RandomStream.Current = before;
        }
    }

    private static double[] DropoutReference(double[] x, float p, int offset)
    {
        double[] uniform = PhiloxReference.Uniform(x.Length, new RandomKey(11, 7), offset);
        return [.. x.Zip(uniform, (v, u) => u >= p ? v / (1 - p) : 0)];
    }

    private static IEnumerable<OperationCase> Cast()
    {
        CaseInput single = Coefficients("x", new(3, 37), -10, 10);
        // Ties to even, the largest that fits, subnormals, zeros.
        CaseInput edges = Values("x", new(14), DType.Float32,
            1 + 1.0 / 256, 1 + 3.0 / 256, 1 + 1.0 / 2048, 1 + 3.0 / 2048, 65504, 65519, -65504, 6e-8, 3e-8, 2.98e-8, 0, -0.0,
            1e-40, -1.5);
        foreach (CaseInput x in new[] { single, edges })
        {
            string what = x == single ? "random" : "edges";
            yield return Exact($"Float32 to Float64, {what}", x, DType.Float64, v => v);
            yield return Exact($"Float32 to BFloat16, {what}", x, DType.BFloat16, v => ToBFloat16(v));
            yield return Exact($"Float32 to Float16, {what}", x, DType.Float16, v => (double)(Half)v);
        }

        yield return Exact("Float64 to Float32", Values("x", new(5), DType.Float64, Math.PI, -1e-50, 1 + 1e-8, 1.0 / 3, 1e30),
            DType.Float32, v => (float)v);
        yield return Exact("BFloat16 to Float32", Values("x", new(3, 7), DType.BFloat16, 1.5, -0.0078125, 3e38f * 0 + 256, 0),
            DType.Float32, v => v);
        yield return Exact("Float16 to Float32", Values("x", new(19), DType.Float16, 1.5, -65504, 5.9604644775390625e-8, 0),
            DType.Float32, v => v);
        yield return Exact("UInt8 to Float32", Values("x", new(300), DType.UInt8, [.. Enumerable.Range(0, 256)]),
            DType.Float32, v => v);
        yield return Exact("Int32 to Float32", Values("x", new(5), DType.Int32, 0, -7, 16777217, 2147483647, -2147483648.0),
            DType.Float32, v => (float)(int)v);
        yield return Exact("Int64 to Float32", Values("x", new(5), DType.Int64, 0, -7, 16777217, 1L << 40, -(1L << 53)),
            DType.Float32, v => (float)(long)v);
        yield return Exact("Float32 to itself", single, DType.Float32, v => v);
        // The differences see the rounding of the numbers, the gradient that of the cotangent.
        CaseInput even = Vector("x", new(3, 5), -4, 4);
        yield return OperationCase.Of("Cast", "there and back", [even],
            t => Op.Cast(Op.Cast(t[0], DType.BFloat16), DType.Float32), t => [.. t[0]], 5e-3, 5e-3);
        yield return OperationCase.Of("Cast", "one input through two casts", [even],
            t => Op.Add(Op.Cast(Op.Cast(t[0], DType.BFloat16), DType.Float32), Op.Cast(Op.Cast(t[0], DType.BFloat16), DType.Float32)),
            t => [.. t[0].Select(v => 2 * v)], 5e-3, 5e-3);
    }

    private static OperationCase Exact(string name, CaseInput x, DType to, Func<double, double> rounded) =>
        OperationCase.Of("Cast", name, [x], t => Op.Cast(t[0], to), t => Array.ConvertAll(t[0], v => rounded(v)), 0);
}

using Mdm.Kernels;
using Mdm.Tensors.Checks;
using static Mdm.Tensors.Checks.CaseInput;

namespace Mdm.Tensors.Operations;

internal static class JoiningCases
{
    public static IEnumerable<OperationCase> All() => [.. Concatenate(), .. BatchSlice(), .. PadBatch(), .. JoinBatches(), .. EveryNthSample()];

    private static IEnumerable<OperationCase> Concatenate()
    {
        (Shape, int)[] shapes = [(new(2, 3, 5, 7), 3), (new(1, 1), 1), (new(4, 16), 33), (new(1, 1, 1, 2), 5)];
        foreach ((Shape a, int cb) in shapes)
        {
            int ca = a[-1];
            yield return OperationCase.Of("Concatenate", $"{a} and {cb} channels",
                [Variable("a", a), Variable("b", a.With(-1, cb))],
                t => Op.Concatenate(t[0], t[1]),
                t => [.. t[0].Chunk(ca).Zip(t[1].Chunk(cb)).SelectMany(row => row.First.Concat(row.Second))]);
        }

        CaseInput x = Variable("a", new(3, 4));
        yield return OperationCase.Of("Concatenate", "a tensor with itself", [x], t => Op.Concatenate(t[0], t[0]),
            t => [.. t[0].Chunk(4).SelectMany(row => row.Concat(row))]);
        yield return OperationCase.Refused("Concatenate", "other rows", [x, Variable("b", new(2, 4))],
            t => Op.Concatenate(t[0], t[1]), "the shapes [3, 4] and [2, 4] should differ in the last size only");
        yield return OperationCase.Refused("Concatenate", "another rank", [x, Variable("b", new(3, 1, 4))],
            t => Op.Concatenate(t[0], t[1]), "the shapes [3, 4] and [3, 1, 4] should differ in the last size only");
    }

    private static IEnumerable<OperationCase> BatchSlice()
    {
        foreach ((Shape shape, int first, int count) in new (Shape, int, int)[]
        {
            (new(5, 3), 0, 2), (new(5, 3), 3, 2), (new(4, 2, 3, 5), 1, 1), (new(3, 7), 0, 3), (new(3, 7), 1, 0),
            (new(2, 1), 1, 1),
        })
        {
            int inner = (int)(shape.Count / shape[0]);
            yield return OperationCase.Of("BatchSlice", $"{first} and {count} on of {shape}", [Variable("x", shape)],
                t => Op.BatchSlice(t[0], first, count), t => t[0][(first * inner)..((first + count) * inner)]);
        }

        CaseInput x = Variable("x", new(3, 4));
        yield return OperationCase.Of("BatchSlice", "two overlapping slices of one tensor", [x],
            t => Op.Multiply(Op.BatchSlice(t[0], 0, 2), Op.BatchSlice(t[0], 1, 2)),
            t => [.. Enumerable.Range(0, 8).Select(i => t[0][i] * t[0][i + 4])]);
        foreach ((int first, int count) in new[] { (2, 2), (-1, 2), (1, -1) })
            yield return OperationCase.Refused("BatchSlice", $"{first} and {count} on of a batch of 3", [x],
                t => Op.BatchSlice(t[0], first, count), "of a batch of 3");
    }

    private static IEnumerable<OperationCase> PadBatch()
    {
        foreach ((Shape shape, int batch) in new (Shape, int)[] { (new(1, 3), 2), (new(3, 2, 2, 5), 7), (new(2, 4), 2) })
        {
            int length = (int)(shape.Count / shape[0] * batch);
            yield return OperationCase.Of("PadBatch", $"{shape} to {batch}", [Variable("x", shape)],
                t => Op.PadBatch(t[0], batch), t => [.. t[0], .. new double[length - t[0].Length]]);
        }

        yield return OperationCase.Refused("PadBatch", "a smaller batch", [Variable("x", new(3, 4))],
            t => Op.PadBatch(t[0], 2), "3 samples do not fit a batch of 2");
    }

    private static IEnumerable<OperationCase> EveryNthSample()
    {
        foreach ((Shape shape, int step) in new (Shape, int)[] { (new(6, 2, 3), 2), (new(4, 5), 4), (new(3, 7), 1) })
            yield return OperationCase.Of("EveryNthSample", $"{step} of {shape}", [Constant("x", shape)],
                t => Op.EveryNthSample(t[0], step),
                t => [.. t[0].Chunk(t[0].Length / shape[0]).Where((_, i) => i % step == 0).SelectMany(s => s)], 0);
        yield return OperationCase.Refused("EveryNthSample", "a step that does not divide", [Constant("x", new(4, 3))],
            t => Op.EveryNthSample(t[0], 3), "every 3-th sample of a batch of 4");
    }

    private static IEnumerable<OperationCase> JoinBatches()
    {
        yield return OperationCase.Of("JoinBatches", "images", [Constant("a", new(2, 3, 3, 5)), Constant("b", new(1, 3, 3, 5))],
            t => Op.JoinBatches(t[0], t[1]), t => [.. t[0], .. t[1]], 0);
        yield return OperationCase.Of("JoinBatches", "ids",
            [Values("a", new(1, 7), DType.Int32, 3, 1, 2), Values("b", new(3, 7), DType.Int32, 9, 8, 0, -1)],
            t => Op.JoinBatches(t[0], t[1]), t => [.. t[0], .. t[1]], 0);
        yield return OperationCase.Refused("JoinBatches", "other widths", [Constant("a", new(2, 3)), Constant("b", new(2, 4))],
            t => Op.JoinBatches(t[0], t[1]), "should differ in the first size only");
        yield return OperationCase.Refused("JoinBatches", "other types",
            [Constant("a", new(2, 3)), Values("b", new(2, 3), DType.Int32, 1)],
            t => Op.JoinBatches(t[0], t[1]), "joining batches: Float32[2, 3] on ");
    }
}

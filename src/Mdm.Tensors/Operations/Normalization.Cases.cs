using Mdm.Kernels;
using Mdm.Tensors.Checks;
using static Mdm.Tensors.Checks.CaseInput;

namespace Mdm.Tensors.Operations;

internal static class NormalizationCases
{
    public static IEnumerable<OperationCase> All() =>
        [.. GroupNorm(), .. GroupNormJoined(), .. LayerNorm(), .. RmsNorm(), .. StdNormalize()];

    private static IEnumerable<OperationCase> GroupNorm()
    {
        (Shape Shape, int Groups, string What)[] shapes =
        [
            (new(2, 4, 4, 8), 2, "even"), (new(1, 1, 1, 6), 3, "1x1 image"), (new(2, 3, 5, 6), 6, "groups = channels"),
            (new(1, 3, 3, 21), 3, "groups of 7"), (new(3, 7, 10), 1, "one group, no image"),
            (new(1, 5, 5, 64), 32, "groups of 2"),
            (new(2, 6, 6, 48), 4, "groups of 12"), (new(1, 9, 4, 66), 2, "groups of 33"),
        ];
        foreach ((Shape shape, int groups, string what) in shapes)
        {
            int batch = shape[0], channels = shape[-1];
            CaseInput x = Variable("x", shape, -2, 3), gamma = Vector("gamma", new(channels), 0.5, 1.5),
                beta = Vector("beta", new(channels));
            CaseInput modulation = Variable("scaleShift", new(batch, 2 * channels));
            // Two numbers are normalised to ±1 whatever they are: their gradient is what cancellation leaves.
            double tolerance = x.Shape.Count == 2 * groups ? 1e-3 : 1e-5;
            foreach (bool silu in new[] { false, true })
            {
                string name = $"{what} {shape}, {groups} groups{(silu ? ", SiLU" : "")}";
                yield return OperationCase.Of("GroupNorm", name, [x, gamma, beta],
                    t => Op.GroupNorm(t[0], t[1], t[2], groups, silu: silu),
                    t => GroupReference(shape, groups, t[0], t[1], t[2], null, silu), backwardTolerance: tolerance);
                yield return OperationCase.Of("GroupNorm", $"{name}, scale and shift", [x, gamma, beta, modulation],
                    t => Op.GroupNorm(t[0], t[1], t[2], groups, t[3], silu),
                    t => GroupReference(shape, groups, t[0], t[1], t[2], t[3], silu), backwardTolerance: tolerance);
            }
        }

        // Float32 holds x - mean only to 1e-7 of the mean; more than this is lost by E[x²]-E[x]² alone.
        CaseInput shifted = Variable("x", new(1, 8, 8, 4), 99, 101), ones = Vector("gamma", new(4), 0.5, 1.5),
            zeros = Vector("beta", new(4));
        yield return OperationCase.Of("GroupNorm", "a mean of 170 deviations", [shifted, ones, zeros],
            t => Op.GroupNorm(t[0], t[1], t[2], 2),
            t => GroupReference(new(1, 8, 8, 4), 2, t[0], t[1], t[2], null, false), 1e-4, 1e-4);

        CaseInput image = Variable("x", new(2, 3, 3, 6)), six = Variable("gamma", new(6)), five = Variable("gamma", new(5));
        yield return OperationCase.Refused("GroupNorm", "channels not divisible", [image, six],
            t => Op.GroupNorm(t[0], t[1], t[1], 4), "6 channels are not divisible by 4 groups");
        yield return OperationCase.Refused("GroupNorm", "no groups", [image, six],
            t => Op.GroupNorm(t[0], t[1], t[1], 0), "6 channels are not divisible by 0 groups");
        yield return OperationCase.Refused("GroupNorm", "scale and shift of another batch",
            [image, six, Variable("s", new(1, 12))],
            t => Op.GroupNorm(t[0], t[1], t[1], 3, t[2]), "scale and shift have the shape [1, 12], expected [2, 12]");
        yield return OperationCase.Refused("GroupNorm", "a bfloat16 weight",
            [image, six, Values("gamma", new(6), DType.BFloat16, 1)],
            t => Op.GroupNorm(t[0], t[2], t[1], 3), "group norm: the weight is BFloat16[6] on ");
        yield return OperationCase.Refused("GroupNorm", "weight of another width", [image, six, five],
            t => Op.GroupNorm(t[0], t[2], t[1], 3), "group norm: weight and bias have the shapes [5] and [6], expected [6]");
    }

    // x and skip as one tensor of their channels together.
    private static IEnumerable<OperationCase> GroupNormJoined()
    {
        (Shape Shape, int Skip, int Groups, string What)[] shapes =
        [
            (new(2, 4, 4, 8), 8, 4, "halves"), (new(1, 3, 3, 16), 8, 2, "a group of both"), (new(2, 3, 5, 5), 7, 3, "odd widths"),
            (new(2, 1, 1, 40), 8, 6, "1x1 image"),
        ];
        foreach ((Shape shape, int second, int groups, string what) in shapes)
        {
            int batch = shape[0], first = shape[-1], channels = first + second;
            CaseInput x = Variable("x", shape, -2, 3), skip = Variable("skip", shape.With(-1, second), -1, 5);
            CaseInput gamma = Vector("gamma", new(channels), 0.5, 1.5), beta = Vector("beta", new(channels));
            CaseInput modulation = Variable("scaleShift", new(batch, 2 * channels));
            string name = $"{what}, {shape} and {second} channels, {groups} groups";
            yield return OperationCase.Of("GroupNorm", name, [x, skip, gamma, beta],
                t => Op.GroupNorm(t[0], t[2], t[3], groups, silu: true, skip: t[1]), t => GroupReference(
                    shape.With(-1, channels), groups, Join(t[0], t[1], first, second), t[2], t[3], null, true));
            yield return OperationCase.Of("GroupNorm", $"{name}, scale and shift", [x, skip, gamma, beta, modulation],
                t => Op.GroupNorm(t[0], t[2], t[3], groups, t[4], skip: t[1]), t => GroupReference(
                    shape.With(-1, channels), groups, Join(t[0], t[1], first, second), t[2], t[3], t[4], false));
        }

        CaseInput both = Variable("x", new(2, 3, 3, 4)), eight = Vector("gamma", new(8));
        yield return OperationCase.Of("GroupNorm", "a tensor joined to itself", [both, eight],
            t => Op.GroupNorm(t[0], t[1], t[1], 2, skip: t[0]),
            t => GroupReference(new(2, 3, 3, 8), 2, Join(t[0], t[0], 4, 4), t[1], t[1], null, false));
        yield return OperationCase.Refused("GroupNorm", "skip of another size", [both, Variable("skip", new(2, 3, 2, 4)), eight],
            t => Op.GroupNorm(t[0], t[2], t[2], 2, skip: t[1]),
            "group norm: the shapes [2, 3, 3, 4] and [2, 3, 2, 4] of what is joined should differ in the last size only");
    }

    private static IEnumerable<OperationCase> LayerNorm()
    {
        // A single number minus itself is 0 times 1/√ε: the gradient is 0 but for rounding.
        foreach (Shape shape in new Shape[] { new(2, 5, 8), new(1, 3), new(7, 33), new(2, 3, 100), new(3, 1) })
        {
            int cols = shape[-1];
            CaseInput x = Variable("x", shape, -2, 3), gamma = Vector("gamma", new(cols), 0.5, 1.5),
                beta = Vector("beta", new(cols));
            yield return OperationCase.Of("LayerNorm", $"{shape}", [x, gamma, beta],
                t => Op.LayerNorm(t[0], t[1], t[2]),
                t => GroupReference(new(t[0].Length / cols, cols), 1, t[0], t[1], t[2], null, false),
                backwardTolerance: cols == 1 ? 1e-2 : 1e-5);
        }

        CaseInput rows = Variable("x", new(2, 8)), seven = Variable("gamma", new(7)), eight = Variable("beta", new(8));
        yield return OperationCase.Refused("LayerNorm", "weight of another width", [rows, seven, eight],
            t => Op.LayerNorm(t[0], t[1], t[2]),
            "an input of shape [2, 8] does not fit a weight of shape [7] and a bias of shape [8]");
        yield return OperationCase.Refused("LayerNorm", "bias of another width", [rows, seven, eight],
            t => Op.LayerNorm(t[0], t[2], t[1]),
            "an input of shape [2, 8] does not fit a weight of shape [8] and a bias of shape [7]");
    }

    private static IEnumerable<OperationCase> RmsNorm()
    {
        // A single number divided by its size is ±1: the gradient is 0 but for rounding.
        foreach (Shape shape in new Shape[] { new(2, 5, 8), new(1, 3), new(7, 33), new(70, 2, 40), new(2, 1100), new(3, 1) })
        {
            int cols = shape[-1];
            yield return OperationCase.Of("RmsNorm", $"{shape}",
                [Variable("x", shape, -2, 3), Vector("gamma", new(cols), 0.5, 1.5)],
                t => Op.RmsNorm(t[0], t[1]), t => RmsReference(cols, t[0], t[1]), backwardTolerance: cols == 1 ? 1e-3 : 1e-5);
        }

        yield return OperationCase.Refused("RmsNorm", "weight of another width",
            [Variable("x", new(2, 8)), Variable("g", new(7))],
            t => Op.RmsNorm(t[0], t[1]), "an input of shape [2, 8] does not fit a weight of shape [7], expected [8]");
    }

    private static IEnumerable<OperationCase> StdNormalize()
    {
        foreach (Shape shape in new Shape[] { new(2, 4, 4, 3), new(1, 2), new(3, 5, 7, 3), new(2, 300) })
        {
            yield return OperationCase.Of("StdNormalize", $"{shape}", [Variable("x", shape, -1, 2)],
                t => Op.StdNormalize(t[0]), t => StdReference(shape[0], t[0]));
        }

        yield return OperationCase.Refused("StdNormalize", "one element a sample", [Variable("x", new(4, 1))],
            t => Op.StdNormalize(t[0]), "a sample of shape [4, 1] has 1 elements, expected 2 or more");
    }

    internal static double[] Join(double[] x, double[] skip, int first, int second) =>
    [
        .. from row in Enumerable.Range(0, x.Length / first)
           from c in Enumerable.Range(0, first + second)
           select c < first ? x[row * first + c] : skip[row * second + c - first],
    ];

    private static double[] GroupReference(Shape shape, int groups, double[] x, double[] gamma, double[] beta,
        double[]? scaleShift, bool silu)
    {
        int batch = shape[0], channels = shape[-1], positions = x.Length / batch / channels, width = channels / groups;
        double[] y = new double[x.Length];
        for (int b = 0; b < batch; b++)
        {
            for (int g = 0; g < groups; g++)
            {
                double mean = 0, variance = 0;
                int[] members = [.. from p in Enumerable.Range(0, positions)
                                    from c in Enumerable.Range(g * width, width)
                                    select (b * positions + p) * channels + c];
                foreach (int i in members)
                    mean += x[i] / members.Length;
                foreach (int i in members)
                    variance += (x[i] - mean) * (x[i] - mean) / members.Length;
                foreach (int i in members)
                {
                    int c = i % channels;
                    double n = (x[i] - mean) / Math.Sqrt(variance + 1e-5f) * gamma[c] + beta[c];
                    if (scaleShift != null)
                        n = n * (1 + scaleShift[b * 2 * channels + c]) + scaleShift[(b * 2 + 1) * channels + c];
                    y[i] = silu ? n / (1 + Math.Exp(-n)) : n;
                }
            }
        }

        return y;
    }

    private static double[] RmsReference(int cols, double[] x, double[] gamma)
    {
        double[] y = new double[x.Length];
        for (int r = 0; r < x.Length; r += cols)
        {
            double squares = 0;
            for (int c = 0; c < cols; c++)
                squares += x[r + c] * x[r + c];
            for (int c = 0; c < cols; c++)
                y[r + c] = x[r + c] / Math.Sqrt(squares / cols + 1e-6f) * gamma[c];
        }

        return y;
    }

    private static double[] StdReference(int batch, double[] x)
    {
        int inner = x.Length / batch;
        double[] y = new double[x.Length];
        for (int b = 0; b < batch; b++)
        {
            double[] sample = x[(b * inner)..((b + 1) * inner)];
            double mean = sample.Average(), std = Math.Sqrt(sample.Sum(v => (v - mean) * (v - mean)) / (inner - 1));
            for (int i = 0; i < inner; i++)
                y[b * inner + i] = sample[i] / std;
        }

        return y;
    }
}

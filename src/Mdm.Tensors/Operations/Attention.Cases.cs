using Mdm.Tensors.Checks;
using static Mdm.Tensors.Checks.CaseInput;

namespace Mdm.Tensors.Operations;

internal static class AttentionCases
{
    public static IEnumerable<OperationCase> All()
    {
        (int Batch, int Length, int Heads, int Width, double[]? Mask, string What)[] own =
        [
            (1, 1, 1, 1, null, "one token"), (2, 5, 1, 3, null, "odd width"), (1, 64, 2, 8, null, "even sizes"),
            (2, 37, 3, 20, null, "odd length"), (1, 130, 1, 64, null, "longer than a block"),
            (2, 67, 2, 40, null, "padded heads"),
            (2, 4, 4, 5, [1, 0, 1, 1, 0, 1, 1], "mask"),
            (1, 6, 2, 7, [0, 0, 0, 1, 0, 0], "all but one masked"), (2, 3, 1, 4, [0, 0, 0, 1, 1, 1], "one sample all masked"),
        ];
        foreach ((int batch, int length, int heads, int width, double[]? mask, string what) in own)
            yield return Self(what, batch, length, heads, width, mask, 1);
        // Scores of some hundreds: the softmax must subtract its maximum.
        yield return Self("large scores", 1, 9, 2, 8, null, 12);

        yield return Biased("position bias", 2, 37, 2, 5, null, null);
        yield return Biased("position bias, no scale", 1, 70, 2, 16, null, 1);
        yield return Biased("position bias and mask", 3, 4, 2, 3, [1, 0, 1, 1, 1], 1);

        (int Batch, int Length, int Keys, int Heads, int Width, double[]? Mask, string What)[] cross =
        [
            (1, 1, 1, 1, 1, null, "one query, one key"), (2, 9, 1, 2, 5, null, "one key"), (2, 16, 7, 2, 8, null, "few keys"),
            (2, 66, 37, 2, 24, [1, 1, 0, 1, 0, 0, 1], "many queries, mask"),
            (1, 5, 77, 3, 17, null, "more keys than queries"), (3, 6, 5, 2, 4, [1, 1, 0, 1, 0, 0, 1], "mask"),
            (1, 6, 5, 1, 8, [0, 0, 1, 0, 0], "all but one masked"), (1, 4, 3, 2, 3, [0], "all masked"),
            (2, 4, 3, 1, 16, [1, 1, 1, 0, 0, 0], "one sample all masked"),
        ];
        foreach ((int batch, int length, int keys, int heads, int width, double[]? mask, string what) in cross)
            yield return Cross(what, batch, length, keys, heads, width, mask);

        foreach (OperationCase test in Refusals())
            yield return test;
    }

    private static OperationCase Self(string what, int batch, int length, int heads, int width, double[]? mask, double range)
    {
        int channels = heads * width;
        CaseInput qkv = Variable("qkv", new(batch, length, 3 * channels), -range, range);
        string name = $"{what}, batch {batch}, length {length}, {heads} x {width}";
        // Probabilities inherit the absolute error of the scores.
        double tolerance = range > 1 ? 1e-4 : 1e-5;
        return OperationCase.Of("SelfAttention", name, mask == null ? [qkv] : [qkv, Mask("mask", new(batch, length), mask)],
            t => Op.SelfAttention(t[0], heads, t.ElementAtOrDefault(1)),
            t => Reference(batch, length, length, heads, width, t[0], 3 * channels, t[0], channels, 3 * channels,
                t.ElementAtOrDefault(1)),
            tolerance, tolerance);
    }

    private static OperationCase Biased(string what, int batch, int length, int heads, int width, double[]? mask, float? scale)
    {
        int channels = heads * width;
        CaseInput qkv = Variable("qkv", new(batch, length, 3 * channels));
        CaseInput bias = Coefficients("bias", new(heads, length, length), -3, 3);
        return OperationCase.Of("SelfAttention", $"{what}, batch {batch}, length {length}, {heads} x {width}",
            mask == null ? [qkv, bias] : [qkv, bias, Mask("mask", new(batch, length), mask)],
            t => Op.SelfAttention(t[0], heads, t.ElementAtOrDefault(2), t[1], scale),
            t => Reference(batch, length, length, heads, width, t[0], 3 * channels, t[0], channels, 3 * channels,
                t.ElementAtOrDefault(2), t[1], scale));
    }

    private static OperationCase Cross(string what, int batch, int length, int keys, int heads, int width, double[]? mask)
    {
        int channels = heads * width;
        CaseInput qkv = Variable("qkv", new(batch, length, 3 * channels)), kv = Variable("kv", new(batch, keys, 2 * channels));
        // The weight of a single key is 1 whatever the query is: that gradient is 0 but for rounding.
        bool alone = keys == 1 || mask is { Length: > 1 } && mask.Sum() == 1;
        string name = $"{what}, batch {batch}, {length} queries, {keys} keys, {heads} x {width}";
        return OperationCase.Of("CrossAttention", name,
            mask == null ? [qkv, kv] : [qkv, kv, Mask("mask", new(batch, keys), mask)],
            t => Op.CrossAttention(t[0], t[1], heads, t.ElementAtOrDefault(2)),
            t => Reference(batch, length, keys, heads, width, t[0], 3 * channels, t[1], 0, 2 * channels,
                t.ElementAtOrDefault(2)),
            backwardTolerance: alone ? 1e-4 : 1e-5);
    }

    private static IEnumerable<OperationCase> Refusals()
    {
        CaseInput qkv = Variable("qkv", new(2, 5, 12));
        yield return OperationCase.Refused("SelfAttention", "channels not divisible by heads", [qkv],
            t => Op.SelfAttention(t[0], 3),
            "the shape [2, 5, 12], expected [batch, length, 3 x channels] with channels divisible by 3 heads");
        yield return OperationCase.Refused("SelfAttention", "no heads", [qkv],
            t => Op.SelfAttention(t[0], 0), "expected [batch, length, 3 x channels] with channels divisible by 0 heads");
        yield return OperationCase.Refused("SelfAttention", "not thirds", [Variable("qkv", new(2, 5, 10))],
            t => Op.SelfAttention(t[0], 1), "self-attention: queries, keys and values have the shape [2, 5, 10]");
        yield return OperationCase.Refused("SelfAttention", "an image", [Variable("qkv", new(2, 5, 5, 12))],
            t => Op.SelfAttention(t[0], 1), "the shape [2, 5, 5, 12]");
        yield return OperationCase.Refused("SelfAttention", "mask of another length", [qkv, Mask("mask", new(2, 4), 1)],
            t => Op.SelfAttention(t[0], 2, t[1]), "the mask has the shape [2, 4], expected [2, 5]");
        yield return OperationCase.Refused("SelfAttention", "bias of another length",
            [qkv, Coefficients("bias", new(2, 5, 4))], t => Op.SelfAttention(t[0], 2, null, t[1]),
            "the bias has the shape [2, 5, 4], expected [2, 5, 5]");
        yield return OperationCase.Refused("CrossAttention", "keys of another width", [qkv, Variable("kv", new(2, 3, 12))],
            t => Op.CrossAttention(t[0], t[1], 2), "keys and values have the shape [2, 3, 12], expected [2, tokens, 8]");
        yield return OperationCase.Refused("CrossAttention", "keys of another batch", [qkv, Variable("kv", new(1, 3, 8))],
            t => Op.CrossAttention(t[0], t[1], 2), "keys and values have the shape [1, 3, 8], expected [2, tokens, 8]");
        yield return OperationCase.Refused("CrossAttention", "keys without tokens", [qkv, Variable("kv", new(2, 8))],
            t => Op.CrossAttention(t[0], t[1], 2), "keys and values have the shape [2, 8], expected [2, tokens, 8]");
        yield return OperationCase.Refused("CrossAttention", "mask of another length",
            [qkv, Variable("kv", new(2, 3, 8)), Mask("mask", new(2, 5), 1)],
            t => Op.CrossAttention(t[0], t[1], 2, t[2]), "the mask has the shape [2, 5], expected [2, 3]");
    }

    // q begins at column 0 of its rows, k at keyColumn of rows of kv, v right behind k.
    private static double[] Reference(int batch, int queries, int keys, int heads, int width, double[] q, int qStride,
        double[] kv, int keyColumn, int kvStride, double[]? mask, double[]? bias = null, double? scale = null)
    {
        int channels = heads * width;
        double[] o = new double[batch * queries * channels];
        double[] weights = new double[keys];
        for (int row = 0; row < batch * queries; row++)
        {
            int b = row / queries;
            for (int h = 0; h < heads; h++)
            {
                double max = double.NegativeInfinity, sum = 0;
                for (int j = 0; j < keys; j++)
                {
                    double score = 0;
                    int key = (b * keys + j) * kvStride + keyColumn + h * width;
                    for (int d = 0; d < width; d++)
                        score += q[row * qStride + h * width + d] * kv[key + d];
                    score = score * (scale ?? 1 / Math.Sqrt(width)) + (bias?[(h * queries + row % queries) * keys + j] ?? 0);
                    weights[j] = mask?[b * keys + j] == 0 ? double.NegativeInfinity : score;
                    max = Math.Max(max, weights[j]);
                }

                for (int j = 0; j < keys; j++)
                    sum += weights[j] = double.IsNegativeInfinity(weights[j]) ? 0 : Math.Exp(weights[j] - max);
                for (int j = 0; j < keys && sum > 0; j++)
                    for (int d = 0; d < width; d++)
                        o[row * channels + h * width + d] +=
                            weights[j] / sum * kv[(b * keys + j) * kvStride + keyColumn + channels + h * width + d];
            }
        }

        return o;
    }
}

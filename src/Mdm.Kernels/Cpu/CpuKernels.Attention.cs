using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

// A head's keys and values are copied once into scratch; then for each tile of queries, tile by tile of keys: scores, running
// maximum and sum of the softmax, and the weighted sum of the values, rescaled when the maximum grows. The backward pass
// makes the same probabilities again from logSumExp. Heads (and, where there are few, ranges of queries) are shared by threads.
public sealed unsafe partial class CpuKernels
{
    public void AttentionForward(
        in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp, Ptr bias = default)
    {
        int heads = shape.Batch * shape.Heads, tiles = (shape.Queries + AttentionTiles.Queries - 1) / AttentionTiles.Queries;
        int wanted = Math.Clamp((4 * CpuThreads.Count + heads - 1) / Math.Max(1, heads), 1, Math.Max(1, tiles));
        int rangeTiles = (tiles + wanted - 1) / wanted;
        int ranges = (tiles + rangeTiles - 1) / Math.Max(1, rangeTiles);
        SimdLoops.For(heads * ranges, 1, new AttentionLoop(
            shape, ranges, rangeTiles * AttentionTiles.Queries, q, k, v, keyMask.F32, o, logSumExp.F32, bias.F32));
    }

    private readonly struct AttentionLoop(
        AttentionShape shape, int ranges, int rangeQueries, Rows q, Rows k, Rows v, float* keyMask, Rows o, float* logSumExp,
        float* positionBias)
        : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            int depth = shape.HeadWidth, width = AttentionTiles.PaddedWidth<V>(depth);
            int keys = AttentionTiles.RoundUp(shape.Keys, TileProduct.PanelWidth<V>());
            float* panels = Scratch.ForPiece<float>(
                (long)keys * (depth + width + 1) + AttentionTiles.Queries * (2 * width + AttentionTiles.Keys + 2));
            float* values = panels + (long)keys * depth, exclusion = values + (long)keys * width;
            float* queries = exclusion + keys, output = queries + AttentionTiles.Queries * width;
            float* scores = output + AttentionTiles.Queries * width;
            float* maxima = scores + AttentionTiles.Queries * AttentionTiles.Keys, sums = maxima + AttentionTiles.Queries;

            int packed = -1;
            for (int piece = start; piece < end; piece++)
            {
                int head = piece / ranges, first = piece % ranges * rangeQueries;
                (int b, int h) = (head / shape.Heads, head % shape.Heads);
                if (head != packed)
                {
                    AttentionTiles.PackPanels<V>(shape.Keys, depth, HeadRow(k, b, shape.Keys, h * depth), k.Stride, panels);
                    float* value = HeadRow(v, b, shape.Keys, h * depth);
                    AttentionTiles.PackRows<V>(shape.Keys, depth, width, 1, value, v.Stride, values);
                    AttentionTiles.FillExclusion(shape.Keys, keys, MaskRow(keyMask, b, shape.Keys), exclusion);
                    packed = head;
                }

                int stop = Math.Min(shape.Queries, first + rangeQueries);
                for (int i = first; i < stop; i += AttentionTiles.Queries)
                {
                    int count = Math.Min(AttentionTiles.Queries, stop - i);
                    float* rows = HeadRow(q, b, shape.Queries, h * depth) + (long)i * q.Stride;
                    AttentionTiles.PackRows<V>(count, depth, width, shape.Scale, rows, q.Stride, queries);
                    Tile<V>(count, width, keys, queries, panels, values, exclusion, BiasRows(positionBias, shape, h, i), scores,
                        output, maxima, sums);
                    float* to = HeadRow(o, b, shape.Queries, h * depth) + (long)i * o.Stride;
                    long at = (long)head * shape.Queries + i;
                    for (int r = 0; r < count; r++)
                    {
                        float factor = sums[r] == 0 ? 0 : 1 / sums[r];
                        AttentionTiles.PackRows<V>(1, depth, depth, factor, output + r * width, width, to + (long)r * o.Stride);
                        logSumExp[at + r] = maxima[r] + MathF.Log(sums[r]);
                    }
                }
            }
        }

        /// <summary>Softmax-weighted sums of the values (not yet divided by the sums) for a tile of queries.</summary>
        [MethodImpl(Hot)]
        private void Tile<V>(
            int count, int width, int keys, float* queries, float* panels, float* values, float* exclusion,
            float* biasRows, float* scores, float* output, float* maxima, float* sums)
            where V : unmanaged, ISimd<V>
        {
            new Span<float>(output, AttentionTiles.Queries * width).Clear();
            new Span<float>(sums, count).Clear();
            new Span<float>(maxima, count).Fill(float.NegativeInfinity);
            for (int j = 0; j < keys; j += AttentionTiles.Keys)
            {
                int tileKeys = Math.Min(AttentionTiles.Keys, keys - j);
                int depth = shape.HeadWidth;
                AttentionTiles.Scores<V>(count, tileKeys, depth, queries, width, panels + (long)j * depth, scores);
                AttentionTiles.AddBias<V>(count, Math.Min(tileKeys, shape.Keys - j), biasRows, shape.Keys, j, scores);
                for (int r = 0; r < count; r++)
                {
                    float* row = scores + r * AttentionTiles.Keys;
                    float max = MathF.Max(maxima[r], AttentionTiles.RowMax<V>(row, exclusion + j, tileKeys));

                    // While every key so far is left out the maximum is -∞: any finite shift gives the zeros wanted.
                    float shift = float.IsNegativeInfinity(max) ? 0 : max;
                    if (j > 0 && max != maxima[r])
                    {
                        float keep = MathF.Exp(maxima[r] - shift);
                        sums[r] *= keep;
                        AttentionTiles.Scale<V>(output + r * width, width, keep);
                    }

                    sums[r] += AttentionTiles.RowExp<V>(row, exclusion + j, tileKeys, shift);
                    maxima[r] = max;
                }

                AttentionTiles.MultiplyRows<V>(count, width, Math.Min(tileKeys, shape.Keys - j), scores, AttentionTiles.Keys, 1,
                    values + (long)j * width, output);
            }
        }
    }

    /// <summary>A sample's row of the mask, or null.</summary>
    private static float* MaskRow(float* keyMask, int sample, int keys) => keyMask == null ? null : keyMask + (long)sample * keys;

    /// <summary>A head's rows of the bias [heads, queries, keys] from a query on, or null.</summary>
    private static float* BiasRows(float* bias, in AttentionShape shape, int head, int query) =>
        bias == null ? null : bias + ((long)head * shape.Queries + query) * shape.Keys;

    /// <summary>Row 0 of a sample's head.</summary>
    [MethodImpl(Inline)]
    private static float* HeadRow(Rows rows, int sample, int rowsPerSample, int headColumn) =>
        rows.Ptr.F32 + (long)sample * rowsPerSample * rows.Stride + headColumn;
}

using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

public sealed unsafe partial class CpuKernels
{
    public void AttentionBackward(
        in AttentionShape shape, Rows q, Rows k, Rows v, Ptr keyMask, Rows o, Ptr logSumExp, Rows dO,
        RowsTarget dq, RowsTarget dk, RowsTarget dv, Ptr bias = default)
    {
        if (!dq.IsNone || !dk.IsNone || !dv.IsNone)
            SimdLoops.For(shape.Batch * shape.Heads, 1,
                new AttentionBackwardLoop(shape, q, k, v, keyMask.F32, o, logSumExp.F32, dO, dq, dk, dv, bias.F32));
    }

    // With P = e^(S - logSumExp) and δ_i = Σ_d dO·o:
    // dV = Pᵀ dO, dP = dO Vᵀ, dS = P·(dP - δ), dQ = scale·dS K, dK = dSᵀ (scale·Q).
    private struct AttentionBackwardLoop(
        AttentionShape shape, Rows q, Rows k, Rows v, float* keyMask, Rows o, float* logSumExp, Rows dO,
        RowsTarget dq, RowsTarget dk, RowsTarget dv, float* positionBias) : IParallelLoop
    {
        // Copies of one head, and tiles; in scratch.
        private float* keyPanels, valuePanels, keyRows, exclusion, keyGradients, valueGradients;
        private float* queries, outputGradients, queryGradients, scores, probabilityGradients, delta, shift;

        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            AttentionBackwardLoop local = this;
            for (int head = start; head < end; head++)
                local.Head<V>(head);
        }

        [MethodImpl(Hot)]
        private void Head<V>(int head)
            where V : unmanaged, ISimd<V>
        {
            int depth = shape.HeadWidth, width = AttentionTiles.PaddedWidth<V>(depth);
            int keys = AttentionTiles.RoundUp(shape.Keys, TileProduct.PanelWidth<V>());
            TakeScratch(keys, depth, width);
            (int b, int column) = (head / shape.Heads, head % shape.Heads * depth);
            bool any = AttentionTiles.FillExclusion(shape.Keys, keys, MaskRow(keyMask, b, shape.Keys), exclusion);
            float* key = HeadRow(k, b, shape.Keys, column);
            AttentionTiles.PackPanels<V>(shape.Keys, depth, key, k.Stride, keyPanels);
            AttentionTiles.PackRows<V>(shape.Keys, depth, width, 1, key, k.Stride, keyRows);
            AttentionTiles.PackPanels<V>(shape.Keys, depth, HeadRow(v, b, shape.Keys, column), v.Stride, valuePanels);
            new Span<float>(keyGradients, KeyRows * width).Clear();
            new Span<float>(valueGradients, KeyRows * width).Clear();

            for (int i = 0; i < shape.Queries; i += AttentionTiles.Queries)
            {
                int count = Math.Min(AttentionTiles.Queries, shape.Queries - i);
                float* rows = HeadRow(q, b, shape.Queries, column) + (long)i * q.Stride;
                float* dRows = HeadRow(dO, b, shape.Queries, column) + (long)i * dO.Stride;
                float* oRows = HeadRow(o, b, shape.Queries, column) + (long)i * o.Stride;
                AttentionTiles.PackRows<V>(count, depth, width, shape.Scale, rows, q.Stride, queries);
                AttentionTiles.PackRows<V>(count, depth, width, 1, dRows, dO.Stride, outputGradients);
                for (int r = 0; r < count; r++)
                {
                    delta[r] = (float)SimdSums.Dot<V>(dRows + (long)r * dO.Stride, oRows + (long)r * o.Stride, depth);
                    float logSum = logSumExp[(long)head * shape.Queries + i + r];

                    // No key counts: S - ∞ makes every probability 0.
                    shift[r] = float.IsNegativeInfinity(logSum) ? float.PositiveInfinity : logSum;
                }

                float* biasRows = BiasRows(positionBias, shape, head % shape.Heads, i);
                new Span<float>(queryGradients, AttentionTiles.Queries * width).Clear();
                for (int j = 0; j < keys && any; j += AttentionTiles.Keys)
                    Tile<V>(count, width, j, Math.Min(AttentionTiles.Keys, keys - j), biasRows);
                Put<V>(dq, (long)b * shape.Queries + i, column, count, shape.Scale, queryGradients, width);
            }

            Put<V>(dk, (long)b * shape.Keys, column, shape.Keys, 1, keyGradients, width);
            Put<V>(dv, (long)b * shape.Keys, column, shape.Keys, 1, valueGradients, width);
        }

        private readonly int KeyRows => AttentionTiles.RoundUp(shape.Keys, TileProduct.RowGroup);

        private void TakeScratch(int keys, int depth, int width)
        {
            const int Queries = AttentionTiles.Queries;
            long tile = Queries * AttentionTiles.Keys;
            long copies = 2L * keys * depth + (long)shape.Keys * width + keys + 2L * KeyRows * width;
            float* p = Scratch.ForPiece<float>(copies + 3L * Queries * width + 2 * tile + 2 * Queries);
            keyPanels = p;
            valuePanels = keyPanels + (long)keys * depth;
            exclusion = valuePanels + (long)keys * depth;
            scores = exclusion + keys;
            probabilityGradients = scores + tile;
            delta = probabilityGradients + tile;
            shift = delta + Queries;
            queries = shift + Queries;
            outputGradients = queries + Queries * width;
            queryGradients = outputGradients + Queries * width;
            keyGradients = queryGradients + Queries * width;
            valueGradients = keyGradients + (long)KeyRows * width;
            keyRows = valueGradients + (long)KeyRows * width;
        }

        /// <summary>What the queries of a tile and the keys j .. j+tileKeys-1 add to the three gradients.</summary>
        [MethodImpl(Hot)]
        private readonly void Tile<V>(int count, int width, int j, int tileKeys, float* biasRows)
            where V : unmanaged, ISimd<V>
        {
            const int Stride = AttentionTiles.Keys;
            int depth = shape.HeadWidth, realKeys = Math.Min(tileKeys, shape.Keys - j);
            AttentionTiles.Scores<V>(count, tileKeys, depth, queries, width, keyPanels + (long)j * depth, scores);
            AttentionTiles.AddBias<V>(count, realKeys, biasRows, shape.Keys, j, scores);
            AttentionTiles.Scores<V>(
                count, tileKeys, depth, outputGradients, width, valuePanels + (long)j * depth, probabilityGradients);
            for (int r = 0; r < count; r++)
            {
                float* s = scores + r * Stride, dp = probabilityGradients + r * Stride;
                V logSum = V.Set(shift[r]), d = V.Set(delta[r]);
                for (int c = 0; c < tileKeys; c += V.Width)
                {
                    V p = SimdMath.Exp(V.Load(s + c) + V.Load(exclusion + j + c) - logSum);
                    V.Store(s + c, p);
                    V.Store(dp + c, p * (V.Load(dp + c) - d));
                }
            }

            if (!dv.IsNone)
                AttentionTiles.MultiplyRows<V>(
                    realKeys, width, count, scores, 1, Stride, outputGradients, valueGradients + (long)j * width);
            if (!dk.IsNone)
                AttentionTiles.MultiplyRows<V>(
                    realKeys, width, count, probabilityGradients, 1, Stride, queries, keyGradients + (long)j * width);
            if (!dq.IsNone)
                AttentionTiles.MultiplyRows<V>(
                    count, width, realKeys, probabilityGradients, Stride, 1, keyRows + (long)j * width, queryGradients);
        }

        private readonly void Put<V>(RowsTarget target, long row, int column, int count, float scale, float* from, int width)
            where V : unmanaged, ISimd<V>
        {
            if (target.IsNone)
                return;
            for (int r = 0; r < count; r++, from += width)
            {
                float* to = target.Ptr.F32 + (row + r) * target.Stride + column;
                if (target.Accumulate)
                    for (int c = 0; c < shape.HeadWidth; c++)
                        to[c] += scale * from[c];
                else
                    AttentionTiles.PackRows<V>(1, shape.HeadWidth, shape.HeadWidth, scale, from, width, to);
            }
        }
    }
}

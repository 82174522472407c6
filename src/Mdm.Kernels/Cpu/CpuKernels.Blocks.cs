using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

public sealed unsafe partial class CpuKernels
{
    public void CopyBlocks(in BlockGrid grid, Ptr x, in BlockStrides from, Target y, in BlockStrides to)
    {
        if (y.IsNone || grid.Count == 0)
            return;
        SimdLoops.For(checked(grid.Outer * grid.Rows), RowGrain((long)grid.Cols * grid.Inner),
            new CopyBlocksLoop(grid, from, to, x.F32, y.Ptr.F32, y.Accumulate));
    }

    public void Rotate(in RotaryShape shape, Rows x, RowsTarget y)
    {
        if (y.IsNone || shape.Rows == 0)
            return;
        int pairs = shape.HeadWidth / 2;
        float* turns = Scratch.ForCall<float>(2 * pairs * shape.Positions);
        for (int t = 0; t < shape.Positions; t++)
            for (int k = 0; k < pairs; k++)
            {
                // Frequency and angle are rounded to float32, as those of the time embedding are.
                float angle = t * (float)Math.Exp(k * (float)(-Math.Log(10000) / pairs));
                (double sin, double cos) = Math.SinCos(angle);
                turns[2 * (t * pairs + k)] = (float)cos;
                turns[2 * (t * pairs + k) + 1] = (float)(shape.Inverse ? -sin : sin);
            }

        SimdLoops.For(shape.Rows, RowGrain(shape.Columns), new RotateLoop(shape, turns, x, y));
    }

    private readonly struct CopyBlocksLoop(
        BlockGrid grid, BlockStrides from, BlockStrides to, float* x, float* y, bool accumulate) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int line = start; line < end; line++)
            {
                (int o, int r) = Math.DivRem(line, grid.Rows);
                float* source = x + o * from.Outer + r * from.Row, target = y + o * to.Outer + r * to.Row;
                for (int c = 0; c < grid.Cols; c++, source += from.Col, target += to.Col)
                {
                    if (accumulate)
                        Add<V>(grid.Inner, source, target);
                    else
                        Copy<V>(grid.Inner, source, target);
                }
            }
        }
    }

    private readonly struct RotateLoop(RotaryShape shape, float* turns, Rows x, RowsTarget y) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int r = start; r < end; r++)
            {
                float* from = x.Ptr.F32 + (long)r * x.Stride, to = y.Ptr.F32 + (long)r * y.Stride;
                float* turn = turns + (long)(r % shape.Positions) * shape.HeadWidth;
                for (int j = 0; j < shape.Columns; j += 2)
                {
                    float cos = turn[j % shape.HeadWidth], sin = turn[j % shape.HeadWidth + 1];
                    float first = from[j] * cos - from[j + 1] * sin, second = from[j + 1] * cos + from[j] * sin;
                    to[j] = y.Accumulate ? to[j] + first : first;
                    to[j + 1] = y.Accumulate ? to[j + 1] + second : second;
                }
            }
        }
    }
}

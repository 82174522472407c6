using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu;

public sealed unsafe partial class CpuKernels
{
    public void GatherRows(int rows, int cols, int tableRows, Ptr ids, Ptr table, Ptr y) =>
        SimdLoops.For(rows, Math.Max(1, SumChunk / Math.Max(1, cols)),
            new GatherRowsLoop(cols, tableRows, (int*)ids.Address, table.F32, y.F32));

    /// <summary>Each thread owns some columns and goes through the rows in their order.</summary>
    public void ScatterAddRows(int rows, int cols, int tableRows, Ptr ids, Ptr dy, Ptr dtable) =>
        SimdLoops.For(cols, 64, new ScatterAddRowsLoop(rows, cols, tableRows, (int*)ids.Address, dy.F32, dtable.F32));

    /// <summary>Frequencies and angles are rounded to float32 before the sine, as the networks were trained: at times around 1000
    /// the rounding of the angle can be seen.</summary>
    public void Sinusoid(int batch, int width, Ptr t, Ptr y)
    {
        int d = width / 2;
        float step = (float)(-Math.Log(10000) / d);
        for (int k = 0; k < d; k++)
        {
            float frequency = (float)Math.Exp(k * step);
            for (int b = 0; b < batch; b++)
            {
                (double sin, double cos) = Math.SinCos(t.F32[b] * frequency);
                y.F32[(long)b * width + k] = (float)sin;
                y.F32[(long)b * width + d + k] = (float)cos;
            }
        }

        for (int b = 0; b < batch && width % 2 != 0; b++)
            y.F32[(long)b * width + width - 1] = 0;
    }

    private readonly struct GatherRowsLoop(int cols, int tableRows, int* ids, float* table, float* y) : IParallelLoop
    {
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int r = start; r < end; r++)
            {
                Span<float> to = new(y + (long)r * cols, cols);
                if ((uint)ids[r] < (uint)tableRows)
                    new Span<float>(table + (long)ids[r] * cols, cols).CopyTo(to);
                else
                    to.Clear();
            }
        }
    }

    private readonly struct ScatterAddRowsLoop(
        int rows, int cols, int tableRows, int* ids, float* dy, float* dtable) : IParallelLoop
    {
        [MethodImpl(Hot)]
        public void Run<V>(int start, int end)
            where V : unmanaged, ISimd<V>
        {
            for (int r = 0; r < rows; r++)
                if ((uint)ids[r] < (uint)tableRows)
                    Add<V>(end - start, dy + (long)r * cols + start, dtable + (long)ids[r] * cols + start);
        }
    }
}

using Mdm.Kernels.Cpu;
using static Mdm.Kernels.Tests.Arrays;

namespace Mdm.Kernels.Tests;

internal sealed class AllocationTests(CpuLevel level) : LevelFixture(level)
{
    [Test]
    public void A_repeated_call_allocates_nothing()
    {
        const int N = 40_000;
        Ptr x = Ptr(Random(N, 1)), y = Ptr(Zeros(N)), z = Ptr(Zeros(N)), small = Ptr(Zeros(4096));
        Ptr state = Ptr(New<double>(OptimizerState.Length), DType.Float64), ids = Ptr(New<int>(100), DType.Int32);
        Target into = new(z, false), none = Target.None;
        GroupNormShape norm = new(2, 625, 32, 8, 1e-5f, true);
        AttentionShape attention = new(2, 2, 8, 64, 64, 0.3f);
        Rows rows = new(x, 16);
        RowsTarget rowsInto = new(z, 16, false);
        void Everything()
        {
            Kernels.Unary(UnaryFunction.Gelu, N, x, y);
            Kernels.UnaryBackward(UnaryFunction.Silu, N, x, y, into);
            Kernels.SampleCombination(4, N / 4, small, x, small, y, into);
            Kernels.SumColumns(N / 40, 40, x, into);
            Kernels.SumRows(40, N / 40, 1, x, into);
            Kernels.MeanSquaredError(4, N / 4, x, y, small);
            Kernels.AbsQuantile(4, N / 4, 0.9f, x, small);
            Kernels.MaskedMean(4, 100, 100, x, Mdm.Kernels.Ptr.None, y);
            Kernels.Resize(ResizeFilter.Bicubic, 1, 50, 50, 4, 25, 30, x, y);
            Kernels.Normal(N, new RandomKey(1, 2), 0, y);
            Kernels.Dropout(N, 0.5f, new RandomKey(1, 2), 0, x, into);
            Kernels.GatherRows(100, 40, 10, ids, x, y);
            Kernels.GroupNormForward(norm, x, x, x, x, y, small, small + 100);
            Kernels.GroupNormBackward(norm, y, x, x, x, x, small, small + 100, into, new(small + 200, false), none, none);
            Kernels.LayerNormForward(N / 40, 40, 1e-5f, x, x, x, y, small, small + 2000);
            Kernels.LayerNormBackward(N / 40, 40, y, x, x, small, small + 2000, into, none, none);
            Kernels.AttentionForward(attention, rows, rows, rows, Mdm.Kernels.Ptr.None, new(y, 16), small);
            Kernels.AttentionBackward(
                attention, rows, rows, rows, Mdm.Kernels.Ptr.None, new(y, 16), small, rows, rowsInto, RowsTarget.None, rowsInto);
            Kernels.SquaredNorm(N, x, state);
            Kernels.AdamStep(N, new AdamOptions(0.9f, 0.999f, 1e-8f, 0, true, 1, 1), y, x, z, z, Mdm.Kernels.Ptr.None, Mdm.Kernels.Ptr.None, state);
        }

        Everything();
        Everything();
        long before = GC.GetAllocatedBytesForCurrentThread();
        Everything();
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero, "bytes");
    }
}

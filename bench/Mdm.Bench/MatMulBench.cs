using Mdm.Kernels;
using Mdm.Kernels.Cpu;

namespace Mdm.Bench;

internal static class MatMulBench
{
    private static readonly (int M, int N, int K)[] Sizes =
    [
        (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048),
        (8192, 128, 128), (8192, 64, 64), (8, 1024, 1024),
    ];

    public static IEnumerable<Result> Run(IEnumerable<CpuLevel> levels)
    {
        using var device = new CpuDevice();
        foreach (var (m, n, k) in Sizes)
        {
            Ptr a = Operands.Random(device, (long)m * k), b = Operands.Random(device, (long)n * k);
            Ptr c = Operands.Random(device, (long)m * n);
            foreach (CpuLevel level in levels)
            {
                foreach (var (ta, tb) in new[] { (false, false), (false, true), (true, false) })
                {
                    MatMulShape shape = MatMulShape.Contiguous(m, n, k, ta, tb);
                    string name = $"{m}x{n}x{k} {(ta ? "T" : "N")}{(tb ? "T" : "N")}";
                    yield return Measure.Flops(
                        "matmul", name, level, () => device.Kernels.MatMul(shape, a, b, new Target(c, false)), 2.0 * m * n * k);
                }
            }

            Operands.Free(device, a, (long)m * k);
            Operands.Free(device, b, (long)n * k);
            Operands.Free(device, c, (long)m * n);
        }
    }
}

using Mdm.Kernels;
using Mdm.Kernels.Cpu;

namespace Mdm.Bench;

internal static unsafe class Operands
{
    /// <summary>So many float32 numbers in -1..1.</summary>
    public static Ptr Random(CpuDevice device, long count)
    {
        var random = new Random(1);
        var p = (float*)device.Allocate(count * 4);
        for (long i = 0; i < count; i++)
            p[i] = random.NextSingle() * 2 - 1;
        return new Ptr((nint)p, DType.Float32);
    }

    public static void Free(CpuDevice device, Ptr p, long count) => device.Free(p.Address, count * 4);
}

using Mdm.Kernels;
using Mdm.Kernels.Cpu;

namespace Mdm.Bench;

internal static class ConvBench
{
    private static readonly ConvShape[] Shapes =
    [
        new(8, 64, 64, 64, 64), new(8, 32, 32, 64, 64), new(8, 32, 32, 128, 128), new(8, 16, 16, 256, 256),
        new(8, 32, 32, 32, 32), new(8, 32, 32, 96, 96), new(8, 32, 32, 3, 64), new(8, 32, 32, 64, 3),
        new(8, 32, 32, 128, 128, Stride: 2), new(8, 16, 16, 128, 128, Upsample: true),
    ];

    private static readonly bool[] Direct = [false], Both = [false, true];

    /// <summary>Rates count the multiplications of the definition: Winograd's way, and doubling, do fewer and may exceed the
    /// peak.</summary>
    public static IEnumerable<Result> Run(IEnumerable<CpuLevel> levels)
    {
        using var device = new CpuDevice();
        IKernels kernels = device.Kernels;
        foreach (ConvShape s in Shapes)
        {
            long nx = (long)s.Batch * s.Height * s.Width * s.InChannels, nw = 9L * s.InChannels * s.OutChannels;
            long ny = (long)s.Batch * s.OutHeight * s.OutWidth * s.OutChannels;
            Ptr x = Operands.Random(device, nx), w = Operands.Random(device, nw), y = Operands.Random(device, ny);
            double flops = 2.0 * ny * 9 * s.InChannels;
            string kind = (s.Stride == 2 ? " /2" : "") + (s.Upsample ? " x2" : "");
            string name = $"{s.Batch}x{s.Height}x{s.Width} {s.InChannels}->{s.OutChannels}{kind}";
            foreach (CpuLevel level in levels)
            {
                bool both = s.Stride == 1 && !s.Upsample && s.InChannels >= 32 && s.OutChannels >= 32;
                foreach (bool winograd in both ? Both : Direct)
                {
                    CpuKernels.UseWinograd = winograd;
                    string way = winograd ? " winograd" : "";
                    yield return Measure.Flops("conv", name + " forward" + way, level,
                        () => kernels.Conv3x3Forward(s, x, w, default, default, y), flops);
                    yield return Measure.Flops("conv", name + " data" + way, level,
                        () => kernels.Conv3x3BackwardData(s, y, w, new Target(x, false)), flops);
                    yield return Measure.Flops("conv", name + " weight" + way, level,
                        () => kernels.Conv3x3BackwardWeight(s, x, y, new Target(w, false)), flops);
                }
            }

            Operands.Free(device, x, nx);
            Operands.Free(device, w, nw);
            Operands.Free(device, y, ny);
        }
    }
}

using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Kernels.Cpu.Products;

namespace Mdm.Bench;

internal static unsafe class TileBench
{
    public static IEnumerable<Result> Run()
    {
        var list = new List<Result>();
        using var device = new CpuDevice();
        float* a = Operands.Random(device, 1 << 22).F32, b = Operands.Random(device, 1 << 22).F32, c = Operands.Random(device, 1 << 22).F32;
        foreach (CpuLevel level in new[] { CpuLevel.Avx512, CpuLevel.Avx2 })
        {
            CpuFeatures.Level = level;
            TileSet set = TileSet.Current;
            foreach (var (k, panels, tiles, lda) in new[] { (64, 1, 1, 64), (128, 1, 1, 128), (256, 1, 1, 256), (512, 1, 1, 512), (512, 1, 16, 512), (512, 4, 16, 512), (512,4,16,520), (256, 4, 16, 256), (256,8,16,256), (128, 8, 16, 128) , (64,1,16,64)})
            {
                int w = set.PanelWidth;
                void Act()
                {
                    Segment s = default;
                    Tile t = default;
                    t.Segments = &s;
                    t.SegmentCount = 1;
                    t.AStep = 1;
                    t.BStep = w;
                    t.Columns = w;
                    t.Spill = c;
                    s.Count = k;
                    var f = set.Kernel(6, w);
                    for (int i = 0; i < tiles; i++)
                        for (int p = 0; p < panels; p++)
                        {
                            s.B = b + (long)p * k * w;
                            s.SetRows(a + (long)i * 6 * lda, lda, 6);
                            t.SetRows(c + 4096 + (long)i * 6 * w * panels + p * w, w * panels, 6);
                            f(&t);
                        }
                }

                list.Add(Measure.Flops("tile", $"k {k} panels {panels} tiles {tiles} lda {lda} bKB {k * w * 4 / 1024 * panels}", level, Act, 2.0 * 6 * w * k * panels * tiles));
            }
        }

        return list;
    }
}

using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>
/// The gradient of the weights of a convolution with few input channels (an RGB image): rows are (tap, input channel), read
/// from a copy of x with a border, and panels run over the result channels. The images are shared out in a fixed number of
/// parts whose results are summed in order, so the bits do not depend on the number of threads.
/// </summary>
internal sealed unsafe class ConvWeightGradientFew
{
    /// <summary>Parts of the sum over pixels.</summary>
    private const int MaxParts = 16;

    /// <summary>Pixels whose dy is packed at a time.</summary>
    private const int ChunkPixels = 512;

    [ThreadStatic]
    private static ConvWeightGradientFew? mine;

    private ConvPlan plan = null!;
    private ConvImage image;
    private float* dy;
    private float* partial;
    private long partLength;
    private int padded;
    private int parts;

    public static void Run(in ConvShape shape, float* x, float* dy, float* dw, bool accumulate)
    {
        ConvWeightGradientFew g = mine ??= new ConvWeightGradientFew();
        ConvPlan plan = ConvPlan.Of(shape, false);
        g.plan = plan;
        g.dy = dy;
        g.image = ConvImage.Of(plan, x, true);
        g.padded = TileSet.Current.Padded(plan.OutC);
        g.partLength = (long)plan.Taps.Length * plan.InC * g.padded;
        g.parts = Math.Min(MaxParts, plan.Batch * plan.Classes[0].GridH);
        g.partial = Scratch.Get(ScratchUse.Partial, g.partLength * g.parts);
        CpuThreads.For(g.parts, 1, &Parts, Unsafe.AsPointer(ref g));
        for (int part = 1; part < g.parts; part++)
            Packing.Add(g.partial + part * g.partLength, g.partLength, g.partial);
        TapSums.Add(plan, new TapGradient(g.partial, (nint)plan.InC * g.padded, 1, g.padded), dw, accumulate);
    }

    private static void Parts(void* context, int start, int end, int worker)
    {
        ConvWeightGradientFew g = Unsafe.AsRef<ConvWeightGradientFew>(context);
        for (int part = start; part < end; part++)
            g.Part(part);
    }

    private void Part(int part)
    {
        TileSet set = TileSet.Current;
        PixelClass grid = plan.Classes[0];
        long total = (long)plan.Batch * grid.GridH;
        int from = (int)(total * part / parts), to = (int)(total * (part + 1) / parts);
        int chunkRows = Math.Max(1, ChunkPixels / grid.GridW);
        for (int j = 0; j < plan.OutC; j += set.PanelWidth)
            for (int row = from; row < to; row += chunkRows)
                foreach (PixelClass pixels in plan.Classes)
                    Chunk(set, pixels, row, Math.Min(chunkRows, to - row), j, partial + part * partLength, row > from);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Chunk(TileSet set, in PixelClass pixels, int row, int rows, int j, float* result, bool add)
    {
        int width = set.WidthAt(j, plan.OutC), columns = Math.Min(width, plan.OutC - j), taps = pixels.Taps * plan.InC;
        float* packedDy = Scratch.Get(ScratchUse.PackedB, (long)rows * pixels.GridW * width);
        var segments = (Segment*)Scratch.Get(ScratchUse.Segments, (long)rows * sizeof(Segment) / sizeof(float));
        nint step = (nint)plan.OutStep * plan.OutC;
        for (int r = 0; r < rows; r++)
        {
            int b = (row + r) / pixels.GridH, p = (row + r) % pixels.GridH * plan.OutStep + pixels.PhaseH;
            float* from = dy + (((long)b * plan.OutH + p) * plan.OutW + pixels.PhaseW) * plan.OutC + j;
            segments[r].B = packedDy + (long)r * pixels.GridW * width;
            segments[r].Count = pixels.GridW;
            Packing.Rows(from, step, pixels.GridW, columns, segments[r].B, width);
        }

        Tile tile = default;
        tile.AStep = plan.InStep * plan.InC;
        tile.BStep = width;
        tile.Columns = width;
        tile.Segments = segments;
        tile.SegmentCount = rows;
        tile.Add = add;
        tile.Spill = Scratch.Get(ScratchUse.Spill, TileSet.MaxTile);
        for (int first = 0, tileRows; first < taps; first += tileRows)
        {
            tileRows = TileSet.RowsOf(taps - first);
            PointRows(segments, rows, pixels, row, first, tileRows);
            tile.SetRows(result + ((long)pixels.FirstTap * plan.InC + first) * padded + j, padded, tileRows);
            set.Kernel(tileRows, width)(&tile);
        }
    }

    /// <summary>The rows of a tile, each a (tap, input channel), at the first pixel of every grid row.</summary>
    private void PointRows(Segment* segments, int rows, in PixelClass pixels, int row, int first, int count)
    {
        nint* offsets = stackalloc nint[Tile.MaxRows];
        for (int r = 0; r < Tile.MaxRows; r++)
        {
            int at = first + Math.Min(r, count - 1);
            Tap tap = plan.Taps[pixels.FirstTap + at / plan.InC];
            nint pixel = (nint)(tap.OffsetH + image.Border) * image.Width + tap.OffsetW + image.Border;
            offsets[r] = pixel * plan.InC + at % plan.InC;
        }

        for (int s = 0; s < rows; s++)
        {
            long h = (long)((row + s) / pixels.GridH) * image.Height + (row + s) % pixels.GridH * plan.InStep;
            float* corner = image.Data + h * image.Width * plan.InC;
            for (int r = 0; r < Tile.MaxRows; r++)
                (&segments[s].A0)[r] = corner + offsets[r];
        }
    }
}

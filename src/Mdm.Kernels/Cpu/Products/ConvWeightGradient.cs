using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>
/// The gradient of a convolution's weights: for every tap a product of result channels by pixels times pixels by input
/// channels. A piece of work owns some rows of result channels and one panel of input channels of all taps, so nothing is
/// summed across threads. It walks over the images in chunks: the panel of x and six channels of dy are packed and then serve
/// all taps.
/// <para>With few input channels the roles change (see <see cref="ConvWeightGradientFew"/>).</para>
/// </summary>
internal sealed unsafe class ConvWeightGradient
{
    /// <summary>Floats of x in a chunk: half the second-level cache.</summary>
    private const int ChunkFloats = 64 * 1024;

    /// <summary>Pixels of dy in a chunk: six channels of them stay in the first-level cache.</summary>
    private const int ChunkPixels = 512;

    [ThreadStatic]
    private static ConvWeightGradient? mine;

    private ConvPlan plan = null!;
    private float* x;
    private float* dy;
    private float* target;
    private int positions;
    private bool accumulate;
    private int groupRows;
    private int panels;

    public static void Run(in ConvShape shape, float* x, float* dy, float* dw, bool accumulate)
    {
        if (shape.InChannels <= ConvImage.FewChannels)
        {
            ConvWeightGradientFew.Run(shape, x, dy, dw, accumulate);
            return;
        }

        ConvPlan plan = ConvPlan.Of(shape, false);
        if (CpuKernels.UseWinograd && ConvWinograd.Fits(plan))
        {
            ConvWinogradWeight.Run(plan, x, dy, dw, accumulate);
            return;
        }

        ConvWeightGradient g = mine ??= new ConvWeightGradient();
        TileSet set = TileSet.Current;
        bool direct = plan.Taps.Length == 9 && plan.Classes.Length == 1;
        g.plan = plan;
        g.x = x;
        g.dy = dy;
        g.positions = plan.Taps.Length;
        long partial = (long)plan.OutC * g.positions * plan.InC;
        g.target = direct ? dw : Scratch.Get(ScratchUse.Partial, partial);
        g.accumulate = direct && accumulate;
        g.panels = (plan.InC + set.PanelWidth - 1) / set.PanelWidth;
        int tiles = (plan.OutC + Tile.MaxRows - 1) / Tile.MaxRows;
        int groups = Math.Clamp(4 * CpuThreads.Count / g.panels, 1, Math.Max(1, tiles / 2));
        g.groupRows = (tiles + groups - 1) / groups * Tile.MaxRows;
        groups = (plan.OutC + g.groupRows - 1) / g.groupRows;
        CpuThreads.For(g.panels * groups, 1, &Pieces, Unsafe.AsPointer(ref g));
        if (!direct)
            TapSums.Add(plan, new TapGradient(g.target, plan.InC, (nint)g.positions * plan.InC, 1), dw, accumulate);
    }

    private static void Pieces(void* context, int start, int end, int worker)
    {
        ConvWeightGradient g = Unsafe.AsRef<ConvWeightGradient>(context);
        for (int piece = start; piece < end; piece++)
            g.Piece(piece / g.panels * g.groupRows, piece % g.panels * TileSet.Current.PanelWidth);
    }

    private void Piece(int firstRow, int column)
    {
        TileSet set = TileSet.Current;
        PixelClass grid = plan.Classes[0];
        int width = set.WidthAt(column, plan.InC), columns = Math.Min(width, plan.InC - column);
        int pixelsPerRow = grid.GridW, rowsOfX = plan.InStep;
        int chunkRows = Math.Clamp(Math.Min(ChunkPixels / pixelsPerRow, ChunkFloats / (plan.InW * width * rowsOfX)), 1, 512);
        int total = plan.Batch * grid.GridH;
        for (int row = 0; row < total; row += chunkRows)
        {
            int rows = Math.Min(chunkRows, total - row);
            (int low, int high) = RowsRead(grid, row, rows);
            float* packedX = Scratch.Get(ScratchUse.PackedB, (long)(high - low + 1) * plan.InW * width);
            float* from = x + (long)low * plan.InW * plan.InC + column;
            Packing.Rows(from, plan.InC, (high - low + 1) * plan.InW, columns, packedX, width);
            foreach (PixelClass pixels in plan.Classes)
                Chunk(set, pixels, row, rows, packedX, low, firstRow, column, width);
        }
    }

    /// <summary>First and last row of x (numbered through the batch) under a stretch of grid rows.</summary>
    private (int Low, int High) RowsRead(in PixelClass grid, int row, int rows)
    {
        int last = row + rows - 1;
        int low = row / grid.GridH * plan.InH + Math.Clamp(row % grid.GridH * plan.InStep + plan.MinOffset, 0, plan.InH - 1);
        int high = last / grid.GridH * plan.InH + Math.Clamp(last % grid.GridH * plan.InStep + plan.MaxOffset, 0, plan.InH - 1);
        return (low, high);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Chunk(
        TileSet set, in PixelClass pixels, int row, int rows, float* packedX, int low, int firstRow, int column, int width)
    {
        float* packedDy = Scratch.Get(ScratchUse.PackedA, (long)rows * pixels.GridW * Tile.MaxRows);
        var segments = (Segment*)Scratch.Get(ScratchUse.Segments, (long)pixels.Taps * rows * sizeof(Segment) / sizeof(float));
        int* counts = stackalloc int[16];
        for (int t = 0; t < pixels.Taps; t++)
        {
            Tap tap = plan.Taps[pixels.FirstTap + t];
            counts[t] = Point(tap, pixels, row, rows, packedX, low, width, packedDy, segments + t * rows);
        }

        Tile tile = default;
        tile.AStep = Tile.MaxRows;
        tile.BStep = plan.InStep * width;
        tile.Columns = Math.Min(width, plan.InC - column);
        tile.Add = row > 0 || accumulate;
        tile.Spill = Scratch.Get(ScratchUse.Spill, TileSet.MaxTile);
        int lastRow = Math.Min(plan.OutC, firstRow + groupRows);
        for (int o = firstRow, tileRows; o < lastRow; o += tileRows)
        {
            tileRows = TileSet.RowsOf(lastRow - o);
            PackDy(pixels, row, rows, o, tileRows, packedDy);
            for (int t = 0; t < pixels.Taps; t++)
            {
                Tap tap = plan.Taps[pixels.FirstTap + t];
                int position = positions == 9 ? 3 * Bit(tap.RowMask) + Bit(tap.ColumnMask) : pixels.FirstTap + t;
                tile.Segments = segments + t * rows;
                tile.SegmentCount = counts[t];
                nint step = (nint)positions * plan.InC;
                tile.SetRows(target + o * step + (nint)position * plan.InC + column, step, tileRows);
                set.Kernel(tileRows, width)(&tile);
            }
        }
    }

    private static int Bit(int mask) => System.Numerics.BitOperations.TrailingZeroCount(mask);

    /// <summary>The segments of a tap: for every grid row the stretch whose pixels are inside x. Returns how many.</summary>
    private int Point(
        Tap tap, in PixelClass pixels, int row, int rows, float* packedX, int low, int width, float* packedDy, Segment* segments)
    {
        int made = 0;
        int j0 = Math.Max(0, (-tap.OffsetW + plan.InStep - 1) / plan.InStep);
        int j1 = Math.Min(pixels.GridW - 1, (plan.InW - 1 - tap.OffsetW) / plan.InStep);
        for (int r = 0; r < rows && j0 <= j1; r++)
        {
            int h = (row + r) % pixels.GridH * plan.InStep + tap.OffsetH;
            if ((uint)h >= (uint)plan.InH)
                continue;
            Segment* s = segments + made++;
            long xRow = (long)((row + r) / pixels.GridH) * plan.InH + h - low;
            s->B = packedX + (xRow * plan.InW + j0 * plan.InStep + tap.OffsetW) * width;
            s->Count = j1 - j0 + 1;
            s->SetRows(packedDy + ((long)r * pixels.GridW + j0) * Tile.MaxRows, 1, Tile.MaxRows);
        }

        return made;
    }

    /// <summary>Some channels of dy's pixels of a class: packed[pixel][6].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void PackDy(in PixelClass pixels, int row, int rows, int channel, int channels, float* to)
    {
        nint step = (nint)plan.OutStep * plan.OutC;
        for (int r = 0; r < rows; r++)
        {
            int b = (row + r) / pixels.GridH, p = (row + r) % pixels.GridH * plan.OutStep + pixels.PhaseH;
            float* from = dy + (((long)b * plan.OutH + p) * plan.OutW + pixels.PhaseW) * plan.OutC + channel;
            if (channels == Tile.MaxRows)
            {
                for (int j = 0; j < pixels.GridW; j++, from += step, to += Tile.MaxRows)
                {
                    Vector128.Load(from).Store(to);
                    *(long*)(to + 4) = *(long*)(from + 4);
                }

                continue;
            }

            for (int j = 0; j < pixels.GridW; j++, from += step, to += Tile.MaxRows)
                for (int c = 0; c < channels; c++)
                    to[c] = from[c];
        }
    }
}

using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>
/// Runs a <see cref="ConvPlan"/>: an implicit matrix product of pixels by (tap, channel) times (tap, channel) by result
/// channels. No column matrix is made: a tile's rows are pointers to input pixels, one set per tap, and pixels outside the
/// image are a line of zeros. Images with very few channels are first copied with a border, so that the taps of a row are one
/// stretch of memory.
/// </summary>
internal sealed unsafe class Convolution
{
    /// <summary>Tiles whose pointers are made at once and that share a pass over the panels of weights.</summary>
    private const int ChunkTiles = 32;

    /// <summary>Floats of one panel of weights read in a pass: what the second-level cache holds beside the images.</summary>
    private const int PassFloats = 144 * 1024;

    [ThreadStatic]
    private static Convolution? mine;

    private readonly ConvWeights weights = new();
    private ConvPlan plan = null!;
    private ConvImage image;
    private float* output;
    private float* bias;
    private float* residual;
    private bool accumulate;
    private float* zeros;
    private int chunkTiles;
    private int groups;

    /// <summary>output = Σ over taps (+ bias) (+ residual) (+ output). Weights are [O,3,3,I] of the forward
    /// convolution.</summary>
    public static void Run(
        in ConvShape shape, bool backward, float* input, float* w, float* bias, float* residual, float* output, bool accumulate)
    {
        ConvPlan plan = ConvPlan.Of(shape, backward);
        if (ConvFewOutputs.Fits(plan))
        {
            ConvFewOutputs.Run(plan, backward, input, w, bias, residual, output, accumulate);
            return;
        }

        if (CpuKernels.UseWinograd && ConvWinograd.Fits(plan))
        {
            ConvWinograd.Run(plan, backward, input, w, bias, residual, output, accumulate);
            return;
        }

        Convolution c = mine ??= new Convolution();
        TileSet set = TileSet.Current;
        c.plan = plan;
        c.output = output;
        c.bias = bias;
        c.residual = residual;
        c.accumulate = accumulate;
        c.weights.Pack(plan, backward, w);
        c.image = ConvImage.Of(plan, input, plan.InC <= ConvImage.FewChannels);
        c.zeros = Scratch.Get(ScratchUse.Zeros, plan.InC);
        int panels = (plan.OutC + set.PanelWidth - 1) / set.PanelWidth;
        PixelClass largest = plan.Classes[0];
        int tiles = c.Tiles(largest);
        c.chunkTiles = Math.Clamp(tiles / (4 * CpuThreads.Count), 4, ChunkTiles);
        int chunks = (tiles + c.chunkTiles - 1) / c.chunkTiles * plan.Classes.Length;
        c.groups = Math.Clamp(4 * CpuThreads.Count / chunks, 1, panels);
        CpuThreads.For(chunks * c.groups, 1, &Pieces, Unsafe.AsPointer(ref c));
    }

    private static void Pieces(void* context, int start, int end, int worker)
    {
        Convolution c = Unsafe.AsRef<Convolution>(context);
        for (int piece = start; piece < end; piece++)
            c.Piece(piece);
    }

    private int Tiles(in PixelClass k) => (int)(((long)plan.Batch * k.GridH * k.GridW + Tile.MaxRows - 1) / Tile.MaxRows);

    /// <summary>A chunk of tiles of one class, for one group of panels. Chunks beyond a smaller class's last tile are
    /// empty.</summary>
    private void Piece(int piece)
    {
        TileSet set = TileSet.Current;
        int group = piece % groups, chunk = piece / groups, classes = plan.Classes.Length;
        PixelClass pixels = plan.Classes[chunk % classes];
        int first = chunk / classes * chunkTiles, count = Math.Min(chunkTiles, Tiles(pixels) - first);
        if (count <= 0)
            return;
        long bytes = ChunkTiles * (16L * sizeof(Segment) + Tile.MaxRows * sizeof(nint));
        var segments = (Segment*)Scratch.Get(ScratchUse.Segments, bytes / sizeof(float));
        var outputs = (float**)(segments + ChunkTiles * 16);
        int runs = Point(pixels, first, count, segments, outputs);
        int panels = (plan.OutC + set.PanelWidth - 1) / set.PanelWidth;
        int from = (int)((long)panels * group / groups) * set.PanelWidth;
        int to = Math.Min(plan.OutC, (int)((long)panels * (group + 1) / groups) * set.PanelWidth);
        Compute(set, pixels, first, count, segments, runs, outputs, from, to);
    }

    /// <summary>Fills in the segments (the pointers to input pixels) and the pointers to result pixels of a chunk's tiles;
    /// returns the number of segments of a tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private int Point(in PixelClass pixels, int first, int count, Segment* segments, float** outputs)
    {
        TapRun* runs = stackalloc TapRun[16];
        int runCount = image.Runs(plan, pixels, runs);
        nint* corners = stackalloc nint[Tile.MaxRows];
        int* places = stackalloc int[2 * Tile.MaxRows];
        long total = (long)plan.Batch * pixels.GridH * pixels.GridW, at = (long)first * Tile.MaxRows;
        int j = (int)(at % pixels.GridW), i = (int)(at / pixels.GridW % pixels.GridH);
        int b = (int)(at / pixels.GridW / pixels.GridH);
        int high = plan.MaxOffset, low = -plan.MinOffset;
        for (int tile = 0; tile < count; tile++, segments += runCount, outputs += Tile.MaxRows)
        {
            bool interior = true;
            for (int row = 0; row < Tile.MaxRows; row++)
            {
                int h = i * plan.InStep + image.Border, w = j * plan.InStep + image.Border;
                interior &= h >= low && w >= low && h + high < image.Height && w + high < image.Width;
                (places[2 * row], places[2 * row + 1]) = (h, w);
                corners[row] = (nint)(image.Data + (((long)b * image.Height + h) * image.Width + w) * plan.InC);
                int p = i * plan.OutStep + pixels.PhaseH, q = j * plan.OutStep + pixels.PhaseW;
                outputs[row] = output + (((long)b * plan.OutH + p) * plan.OutW + q) * plan.OutC;
                if (++at >= total || ++j < pixels.GridW)
                    continue;
                j = 0;
                if (++i < pixels.GridH)
                    continue;
                i = 0;
                b++;
            }

            if (interior)
                PointInside(runs, runCount, corners, segments);
            else
                PointAtBorder(runs, runCount, corners, places, segments);
        }

        return runCount;
    }

    private static void PointInside(TapRun* runs, int count, nint* corners, Segment* segments)
    {
        Vector128<nint> c01 = Vector128.Load(corners), c23 = Vector128.Load(corners + 2), c45 = Vector128.Load(corners + 4);
        for (int r = 0; r < count; r++)
        {
            Vector128<nint> offset = Vector128.Create(runs[r].Offset);
            segments[r].Count = runs[r].Length;
            (c01 + offset).Store((nint*)&segments[r].A0);
            (c23 + offset).Store((nint*)&segments[r].A2);
            (c45 + offset).Store((nint*)&segments[r].A4);
        }
    }

    private void PointAtBorder(TapRun* runs, int count, nint* corners, int* places, Segment* segments)
    {
        for (int r = 0; r < count; r++)
        {
            segments[r].Count = runs[r].Length;
            for (int row = 0; row < Tile.MaxRows; row++)
            {
                bool inside = (uint)(places[2 * row] + runs[r].OffsetH) < (uint)image.Height
                    && (uint)(places[2 * row + 1] + runs[r].OffsetW) < (uint)image.Width;
                (&segments[r].A0)[row] = inside ? (float*)(corners[row] + runs[r].Offset) : zeros;
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Compute(
        TileSet set, in PixelClass pixels, int first, int count, Segment* segments, int runs, float** outputs, int from, int to)
    {
        long beyond = (long)plan.Batch * pixels.GridH * pixels.GridW - (long)first * Tile.MaxRows;
        int left = (int)Math.Min((long)count * Tile.MaxRows, beyond);
        Tile tile = default;
        tile.AStep = 1;
        tile.Spill = Scratch.Get(ScratchUse.Spill, TileSet.MaxTile);
        tile.ResidualOffset = (nint)(residual - output);
        for (int j = from, width; j < to; j += width)
        {
            width = set.WidthAt(j, plan.OutC);
            float* panel = weights.Panel(pixels, j);
            int passRuns = Math.Max(1, PassFloats / (plan.InC * width));
            tile.BStep = width;
            tile.Columns = Math.Min(width, plan.OutC - j);
            for (int run0 = 0; run0 < runs; run0 += passRuns)
            {
                int passed = Math.Min(passRuns, runs - run0);
                bool firstPass = run0 == 0;
                tile.SegmentCount = passed;
                tile.Bias = firstPass && bias != null ? bias + j : null;
                tile.HasResidual = firstPass && residual != null;
                tile.Add = accumulate || !firstPass;
                for (int t = 0; t < count; t++)
                {
                    tile.Segments = segments + t * runs + run0;
                    float* b = panel;
                    for (Segment* s = segments + t * runs, end = tile.Segments + passed; s < end; s++)
                    {
                        s->B = b;
                        b += s->Count * width;
                    }

                    int rows = Math.Min(Tile.MaxRows, left - t * Tile.MaxRows);
                    tile.Rows = rows;
                    for (int row = 0; row < Tile.MaxRows; row++)
                        (&tile.C0)[row] = outputs[t * Tile.MaxRows + row] + j;
                    set.Kernel(rows, width)(&tile);
                }
            }
        }
    }
}

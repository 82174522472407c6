using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>
/// A convolution with stride 1, or its gradient for the input, by <see cref="Winograd"/>'s transforms. A piece of work is a
/// block of 4x4 patches of the result: their inputs are transformed, 36 matrix products (patches by channels) are taken, and
/// the results are transformed back, all while the block is in the caches.
/// </summary>
internal sealed unsafe class ConvWinograd
{
    /// <summary>Patches of a block: few enough for the caches, enough to use a panel of weights several times.</summary>
    private const int MinBlock = 24, MaxBlock = 96, BlockFloats = 192 * 1024;

    /// <summary>Floats between the terms of a block beyond its size, so that they do not share cache sets.</summary>
    private const int Stagger = 16;

    [ThreadStatic]
    private static ConvWinograd? mine;

    private readonly ConvWeights weights = new();
    private ConvPlan plan = null!;
    private PatchGrid input;
    private PatchGrid output;
    private float* transformed;
    private float* bias;
    private float* residual;
    private bool accumulate;
    private int block;

    /// <summary>Whether this way fits a plan and pays.</summary>
    public static bool Fits(ConvPlan plan)
    {
        int lanes = TileSet.Current.Lanes;
        return plan.IsPlain && plan.InC % lanes == 0 && plan.OutC % lanes == 0 && plan.InC >= 32 && plan.OutC >= 32
            && plan.OutH > 2 && plan.OutW > 2 && PatchGrid.Count(plan.Batch, plan.OutH, plan.OutW) >= MinBlock;
    }

    /// <summary>As <see cref="Convolution.Run"/>.</summary>
    public static void Run(
        ConvPlan plan, bool backward, float* x, float* w, float* bias, float* residual, float* y, bool accumulate)
    {
        ConvWinograd c = mine ??= new ConvWinograd();
        c.plan = plan;
        c.bias = bias;
        c.residual = residual;
        c.accumulate = accumulate;
        c.weights.Pack(plan, backward, w);
        c.transformed = Scratch.Get(ScratchUse.Transformed, (long)Winograd.Terms * plan.InC * plan.OutC);
        int panels = (plan.OutC + TileSet.Current.PanelWidth - 1) / TileSet.Current.PanelWidth;
        int rows = panels * plan.InC;
        CpuThreads.For(rows, Math.Max(1, rows / (8 * CpuThreads.Count)), &TransformWeights, Unsafe.AsPointer(ref c));

        float* zeros = Scratch.Get(ScratchUse.Zeros, plan.InC);
        c.input = new PatchGrid(x, plan.InH, plan.InW, plan.InC, -1, Winograd.Patch, zeros);
        c.output = new PatchGrid(y, plan.OutH, plan.OutW, plan.OutC, 0, Winograd.Result, null);
        int patches = PatchGrid.Count(plan.Batch, plan.OutH, plan.OutW);
        int fits = BlockFloats / (Winograd.Terms * (plan.InC + plan.OutC)), share = patches / (2 * CpuThreads.Count);
        c.block = Math.Clamp(Math.Min(fits, share), MinBlock, MaxBlock) / Tile.MaxRows * Tile.MaxRows;
        CpuThreads.For(patches, c.block, &Blocks, Unsafe.AsPointer(ref c));
    }

    /// <summary>Rows (panel, input channel) of the weights; the terms of a panel are in panels again.</summary>
    private static void TransformWeights(void* context, int start, int end, int worker)
    {
        ConvWinograd c = Unsafe.AsRef<ConvWinograd>(context);
        ConvPlan plan = c.plan;
        TileSet set = TileSet.Current;
        for (int row = start; row < end; row++)
        {
            int j = row / plan.InC * set.PanelWidth, channel = row % plan.InC, width = set.WidthAt(j, plan.OutC);
            float* from = c.weights.Panel(plan.Classes[0], j) + (long)channel * width;
            float* to = c.transformed + (long)j * plan.InC + (long)channel * width;
            set.Winograd.Weights(from, (nint)plan.InC * width, width, to, (nint)plan.InC * plan.OutC);
        }
    }

    private static void Blocks(void* context, int start, int end, int worker)
    {
        ConvWinograd c = Unsafe.AsRef<ConvWinograd>(context);
        for (int first = start; first < end; first += c.block)
            c.Block(first, Math.Min(c.block, end - first));
    }

    private void Block(int first, int count)
    {
        TileSet set = TileSet.Current;
        nint inStep = (nint)block * plan.InC + Stagger, outStep = (nint)block * plan.OutC + Stagger;
        float* inTerms = Scratch.Get(ScratchUse.PackedA, Winograd.Terms * inStep);
        float* outTerms = Scratch.Get(ScratchUse.PackedB, Winograd.Terms * outStep);
        float** places = stackalloc float*[Winograd.Terms];
        for (int t = 0; t < count; t++)
        {
            input.Point(first + t, output.Height, output.Width, places);
            set.Winograd.Input(places, plan.InC, inTerms + (nint)t * plan.InC, inStep);
        }

        for (int f = 0; f < Winograd.Terms; f++)
            Multiply(set, inTerms + f * inStep, transformed + (nint)f * plan.InC * plan.OutC, outTerms + f * outStep, count);
        var end = new PatchEnd
        {
            Places = places,
            Bias = bias,
            HasResidual = residual != null,
            ResidualOffset = (nint)(residual - output.Data),
            Add = accumulate,
        };
        for (int t = 0; t < count; t++)
        {
            output.Point(first + t, output.Height, output.Width, places);
            set.Winograd.Output(outTerms + (nint)t * plan.OutC, outStep, plan.OutC, &end);
        }
    }

    /// <summary>One term of a block: [count, InC] · [InC, OutC].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Multiply(TileSet set, float* a, float* b, float* c, int count)
    {
        Segment segment = default;
        Tile tile = default;
        segment.Count = plan.InC;
        tile.Segments = &segment;
        tile.SegmentCount = 1;
        tile.AStep = 1;
        tile.Spill = Scratch.Get(ScratchUse.Spill, TileSet.MaxTile);
        for (int j = 0, width; j < plan.OutC; j += width)
        {
            width = set.WidthAt(j, plan.OutC);
            segment.B = b + (nint)j * plan.InC;
            tile.BStep = width;
            tile.Columns = width;
            for (int i = 0, rows; i < count; i += rows)
            {
                rows = TileSet.RowsOf(count - i);
                segment.SetRows(a + (nint)i * plan.InC, plan.InC, rows);
                tile.SetRows(c + (nint)i * plan.OutC + j, plan.OutC, rows);
                set.Kernel(rows, width)(&tile);
            }
        }
    }
}

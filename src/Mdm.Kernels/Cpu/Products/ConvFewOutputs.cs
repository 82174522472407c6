using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>
/// A convolution with stride 1 whose result has few channels (the last one, to RGB): every input pixel is multiplied by the
/// weights of all taps at once, a matrix product with (tap, result channel) as columns, and a result pixel is then the sum of
/// its neighbours' shares. That fills vectors which few channels alone would leave empty.
/// </summary>
internal sealed unsafe class ConvFewOutputs
{
    /// <summary>Result channels at most: they are summed as one vector of four.</summary>
    private const int MaxChannels = 4;

    /// <summary>Pixels of a piece of work, about: their shares stay in the second-level cache.</summary>
    private const int PiecePixels = 512;

    [ThreadStatic]
    private static ConvFewOutputs? mine;

    private ConvPlan plan = null!;
    private float* input;
    private float* output;
    private float* bias;
    private float* residual;
    private bool accumulate;
    private float* weights;
    private int width;
    private int rows;
    private int pieces;

    /// <summary>Whether this way fits a plan.</summary>
    public static bool Fits(ConvPlan plan) =>
        plan.OutC <= MaxChannels && plan.InC > ConvImage.FewChannels && plan.IsPlain;

    /// <summary>As <see cref="Convolution.Run"/>.</summary>
    public static void Run(
        ConvPlan plan, bool backward, float* input, float* w, float* bias, float* residual, float* output, bool accumulate)
    {
        ConvFewOutputs c = mine ??= new ConvFewOutputs();
        c.plan = plan;
        c.input = input;
        c.output = output;
        c.bias = bias;
        c.residual = residual;
        c.accumulate = accumulate;
        // A vector of four is read at the last tap's channels, so there is room for it behind them.
        c.width = TileSet.Current.Padded(9 * plan.OutC + MaxChannels - plan.OutC);
        c.weights = Scratch.Get(ScratchUse.Shared, (long)plan.InC * c.width);
        c.PackWeights(backward, w);
        c.rows = Math.Clamp(PiecePixels / plan.OutW, 1, plan.OutH);
        c.pieces = (plan.OutH + c.rows - 1) / c.rows;
        CpuThreads.For(plan.Batch * c.pieces, 1, &Pieces, Unsafe.AsPointer(ref c));
    }

    /// <summary>weights[c·width + tap·OutC + o].</summary>
    private void PackWeights(bool backward, float* w)
    {
        int inner = backward ? plan.OutC : plan.InC;
        (long stepIn, long stepOut) = backward ? (9L * inner, 1L) : (1L, 9L * inner);
        new Span<float>(weights, plan.InC * width).Clear();
        for (int tap = 0; tap < 9; tap++)
        {
            int position = 0;
            while (!plan.Taps[tap].Has(position))
                position++;
            for (int c = 0; c < plan.InC; c++)
                for (int o = 0; o < plan.OutC; o++)
                    weights[c * width + tap * plan.OutC + o] = w[position * inner + c * stepIn + o * stepOut];
        }
    }

    private static void Pieces(void* context, int start, int end, int worker)
    {
        ConvFewOutputs c = Unsafe.AsRef<ConvFewOutputs>(context);
        for (int piece = start; piece < end; piece++)
        {
            int from = piece % c.pieces * c.rows;
            c.Piece(piece / c.pieces, from, Math.Min(c.plan.OutH, from + c.rows));
        }
    }

    private void Piece(int b, int from, int to)
    {
        int low = Math.Max(0, from + plan.MinOffset), high = Math.Min(plan.InH, to + plan.MaxOffset);
        float* shares = Scratch.Get(ScratchUse.PackedB, (long)(high - low) * plan.InW * width);
        Multiply(input + ((long)b * plan.InH + low) * plan.InW * plan.InC, (high - low) * plan.InW, shares);
        for (int p = from; p < to; p++)
            Sum(b, p, low, shares);
    }

    /// <summary>shares[pixel, (tap, o)] = Σ_c pixel c · weights.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Multiply(float* pixels, int count, float* shares)
    {
        TileSet set = TileSet.Current;
        Segment segment = default;
        Tile tile = default;
        segment.Count = plan.InC;
        tile.Segments = &segment;
        tile.SegmentCount = 1;
        tile.AStep = 1;
        tile.BStep = width;
        tile.Spill = Scratch.Get(ScratchUse.Spill, TileSet.MaxTile);
        for (int i = 0, tileRows; i < count; i += tileRows)
        {
            tileRows = TileSet.RowsOf(count - i);
            segment.SetRows(pixels + (long)i * plan.InC, plan.InC, tileRows);
            for (int j = 0, panel; j < width; j += panel)
            {
                panel = set.WidthAt(j, width);
                segment.B = weights + j;
                tile.Columns = panel;
                tile.SetRows(shares + (long)i * width + j, width, tileRows);
                set.Kernel(tileRows, panel)(&tile);
            }
        }
    }

    /// <summary>One row of the result from its neighbours' shares.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Sum(int b, int p, int low, float* shares)
    {
        float* y = output + ((long)b * plan.OutH + p) * plan.OutW * plan.OutC;
        float* extra = residual == null ? null : residual + (y - output);
        float* start = stackalloc float[MaxChannels];
        for (int o = 0; o < plan.OutC; o++)
            start[o] = bias == null ? 0 : bias[o];
        for (int q = 0; q < plan.OutW; q++)
        {
            Vector128<float> sum = Vector128.Load(start);
            for (int tap = 0; tap < 9; tap++)
            {
                int h = p + tap / 3 - 1, w = q + tap % 3 - 1;
                if ((uint)h < (uint)plan.InH && (uint)w < (uint)plan.InW)
                    sum += Vector128.Load(shares + ((long)(h - low) * plan.InW + w) * width + tap * plan.OutC);
            }

            for (int o = 0; o < plan.OutC; o++, y++)
            {
                float value = sum[o];
                if (extra != null)
                    value += *extra++;
                *y = accumulate ? *y + value : value;
            }
        }
    }
}

namespace Mdm.Kernels.Cpu.Products;

/// <summary>One tap of a class: where it looks relative to a grid pixel, and which rows and columns of the 3x3 kernel are
/// summed to make its weights (bit r of RowMask: kernel row r).</summary>
internal readonly record struct Tap(int OffsetH, int OffsetW, int RowMask, int ColumnMask)
{
    /// <summary>Whether kernel position (r, s), numbered 3r+s, belongs to this tap.</summary>
    public bool Has(int position) => (RowMask >> (position / 3) & 1) != 0 && (ColumnMask >> (position % 3) & 1) != 0;
}

/// <summary>The result pixels (OutStep·i + PhaseH, OutStep·j + PhaseW), which all see the same taps. Its taps are
/// FirstTap..FirstTap+Taps-1 of the plan, by rows.</summary>
internal readonly record struct PixelClass(int PhaseH, int PhaseW, int GridH, int GridW, int FirstTap, int Taps);

/// <summary>
/// A 3x3 convolution, or its gradient for the input, as sums over taps: result pixel (OutStep·i + phase) is Σ over the taps
/// of its class of W_tap · input pixel (InStep·i + offset). Doubling the input is folded into the taps: where several kernel
/// rows see the same stored row, their weights are summed first, so that 4 products do the work of 9. Strided gradients fall
/// into classes of result pixels that see 1, 2, 2 and 4 taps.
/// </summary>
internal sealed class ConvPlan
{
    private static readonly Dictionary<(ConvShape, bool), ConvPlan> Made = [];

    private ConvPlan(ConvShape s, bool backward)
    {
        int up = s.Upsample ? 2 : 1, common = s.Stride == up ? up : 1;
        (int height, int width) = (s.OutHeight, s.OutWidth);
        (InH, InW, InC, OutC) = (s.Height, s.Width, s.InChannels, s.OutChannels);
        (InStep, OutStep) = (s.Stride / common, up / common);
        if (backward)
        {
            (InH, InW, height, width) = (height, width, InH, InW);
            (InC, OutC, InStep, OutStep) = (OutC, InC, OutStep, InStep);
        }

        (Batch, OutH, OutW) = (s.Batch, height, width);
        var taps = new List<Tap>();
        var classes = new List<PixelClass>();
        for (int a = 0; a < OutStep; a++)
        {
            for (int b = 0; b < OutStep; b++)
            {
                int first = taps.Count;
                foreach ((int h, int rows) in Offsets(s, backward, a))
                    foreach ((int w, int columns) in Offsets(s, backward, b))
                        taps.Add(new Tap(h, w, rows, columns));
                int gridH = (OutH - a + OutStep - 1) / OutStep, gridW = (OutW - b + OutStep - 1) / OutStep;
                if (gridH > 0 && gridW > 0)
                    classes.Add(new PixelClass(a, b, gridH, gridW, first, taps.Count - first));
                else
                    taps.RemoveRange(first, taps.Count - first);
            }
        }

        (Taps, Classes) = ([.. taps], [.. classes]);
        MinOffset = Taps.Min(t => Math.Min(t.OffsetH, t.OffsetW));
        MaxOffset = Taps.Max(t => Math.Max(t.OffsetH, t.OffsetW));
    }

    public int Batch { get; }

    /// <summary>Of what is read: x forward, dy backward.</summary>
    public int InH { get; }

    public int InW { get; }

    public int InC { get; }

    /// <summary>Of what is written.</summary>
    public int OutH { get; }

    public int OutW { get; }

    public int OutC { get; }

    public int InStep { get; }

    public int OutStep { get; }

    public Tap[] Taps { get; }

    public PixelClass[] Classes { get; }

    /// <summary>Stride 1, not doubled: the nine taps of the definition, one for each weight.</summary>
    public bool IsPlain => Classes.Length == 1 && Taps.Length == 9 && InStep == 1;

    /// <summary>Smallest and largest offset of any tap, in either direction.</summary>
    public int MinOffset { get; }

    public int MaxOffset { get; }

    /// <summary>The plan of a shape; made once.</summary>
    public static ConvPlan Of(in ConvShape shape, bool backward)
    {
        lock (Made)
        {
            if (!Made.TryGetValue((shape, backward), out ConvPlan? plan))
            {
                if (Made.Count > 1000)
                    Made.Clear();
                Made.Add((shape, backward), plan = new ConvPlan(shape, backward));
            }

            return plan;
        }
    }

    /// <summary>In one dimension, for the result positions OutStep·i + phase: the offsets at which the input is read and the
    /// kernel positions that read there. Found by trying a position far from any border.</summary>
    private IEnumerable<(int Offset, int Mask)> Offsets(ConvShape s, bool backward, int phase)
    {
        const int Far = 16;
        int position = OutStep * Far + phase, shift = s.Upsample ? 1 : 0;
        for (int offset = -3; offset <= 3; offset++)
        {
            int read = InStep * Far + offset, mask = 0;
            (int x, int y) = backward ? (position, read) : (read, position);
            for (int r = 0; r < 3; r++)
                mask |= (y * s.Stride + r - 1) >> shift == x ? 1 << r : 0;
            if (mask != 0)
                yield return (offset, mask);
        }
    }
}

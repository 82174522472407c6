using System.Runtime.CompilerServices;

namespace Mdm.Kernels.Cpu.Products;

/// <summary>The weights of a <see cref="ConvPlan"/> in the order in which its tiles read them: per class and panel of result
/// channels [tap][input channel][panel width].</summary>
internal sealed unsafe class ConvWeights
{
    private ConvPlan plan = null!;
    private bool backward;
    private float* source;
    private float* packed;
    private int padded;
    private int panels;

    public void Pack(ConvPlan convPlan, bool isBackward, float* weights)
    {
        TileSet set = TileSet.Current;
        (plan, backward) = (convPlan, isBackward);
        source = weights;
        padded = set.Padded(plan.OutC);
        panels = (plan.OutC + set.PanelWidth - 1) / set.PanelWidth;
        packed = Scratch.Get(ScratchUse.Shared, (long)plan.Taps.Length * plan.InC * padded);
        ConvWeights me = this;
        int grain = Math.Max(1, 4096 / (plan.InC * set.PanelWidth));
        CpuThreads.For(plan.Taps.Length * panels, grain, &Pieces, Unsafe.AsPointer(ref me));
    }

    /// <summary>Where the panel of a class that starts at a result channel begins.</summary>
    public float* Panel(in PixelClass pixels, int channel) =>
        packed + (long)pixels.FirstTap * plan.InC * padded + (long)channel * pixels.Taps * plan.InC;

    private static void Pieces(void* context, int start, int end, int worker)
    {
        ConvWeights me = Unsafe.AsRef<ConvWeights>(context);
        for (int piece = start; piece < end; piece++)
        {
            int tap = piece / me.panels;
            PixelClass pixels = default;
            foreach (PixelClass candidate in me.plan.Classes)
                if (tap >= candidate.FirstTap && tap < candidate.FirstTap + candidate.Taps)
                    pixels = candidate;
            me.PackPanel(pixels, tap, piece % me.panels * TileSet.Current.PanelWidth);
        }
    }

    /// <summary>The sum of a tap's kernel positions, for one panel.</summary>
    private void PackPanel(in PixelClass pixels, int tap, int channel)
    {
        int width = TileSet.Current.WidthAt(channel, plan.OutC), columns = Math.Min(width, plan.OutC - channel);
        int inner = backward ? plan.OutC : plan.InC;
        float* to = Panel(pixels, channel) + (long)(tap - pixels.FirstTap) * plan.InC * width;
        float* target = to;
        for (int position = 0; position < 9; position++)
        {
            if (!plan.Taps[tap].Has(position))
                continue;
            if (backward)
                Packing.Rows(source + position * inner + channel, 9 * inner, plan.InC, columns, target, width);
            else
                Packing.Transposed(source + ((long)channel * 9 + position) * inner, 9 * inner, plan.InC, columns, target, width);
            if (target != to)
                Packing.Add(target, (long)plan.InC * width, to);
            target = Scratch.Get(ScratchUse.PackedB, (long)plan.InC * width);
        }
    }
}

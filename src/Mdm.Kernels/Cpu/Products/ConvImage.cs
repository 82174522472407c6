namespace Mdm.Kernels.Cpu.Products;

/// <summary>The input of a convolution: as it is, or a copy with a border of zeros, in which the taps of a kernel row are
/// neighbours in memory for every pixel and can be one stretch of a sum.</summary>
internal unsafe struct ConvImage
{
    /// <summary>With so few channels the sums of single taps are too short, and a copy pays.</summary>
    public const int FewChannels = 8;

    public float* Data;
    public int Height;
    public int Width;

    /// <summary>Where input pixel (0, 0) is.</summary>
    public int Border;

    public bool Copied;

    private float* source;
    private int sourceHeight;
    private int sourceWidth;
    private int channels;

    public static ConvImage Of(ConvPlan plan, float* input, bool copy)
    {
        var image = new ConvImage { Data = input, Height = plan.InH, Width = plan.InW };
        if (!copy)
            return image;
        image.Copied = true;
        image.Border = Math.Max(0, -plan.MinOffset);
        image.Height = Size(plan.InH, plan.OutH) + image.Border;
        image.Width = Size(plan.InW, plan.OutW) + image.Border;
        image.Data = Scratch.Get(ScratchUse.Image, (long)plan.Batch * image.Height * image.Width * plan.InC);
        image.source = input;
        (image.sourceHeight, image.sourceWidth, image.channels) = (plan.InH, plan.InW, plan.InC);
        CpuThreads.For(plan.Batch * image.Height, Math.Max(1, 16384 / (image.Width * plan.InC)), &CopyRows, &image);
        return image;

        // The far side must hold the input and every pixel that a tap reads.
        int Size(int input, int output) =>
            Math.Max(input, (output + plan.OutStep - 1) / plan.OutStep * plan.InStep - plan.InStep + plan.MaxOffset + 1);
    }

    /// <summary>The stretches of a class's taps: single taps, or rows of neighbours in a copy. Returns how many.</summary>
    public readonly int Runs(ConvPlan plan, in PixelClass pixels, TapRun* runs)
    {
        int made = 0;
        for (int t = pixels.FirstTap; t < pixels.FirstTap + pixels.Taps; t++)
        {
            Tap tap = plan.Taps[t];
            bool joins = Copied && made > 0 && tap.OffsetH == runs[made - 1].OffsetH
                && tap.OffsetW == plan.Taps[t - 1].OffsetW + 1;
            if (joins)
            {
                runs[made - 1].Length += plan.InC;
                continue;
            }

            runs[made++] = new TapRun
            {
                OffsetH = tap.OffsetH,
                OffsetW = tap.OffsetW,
                Length = plan.InC,
                Offset = ((nint)tap.OffsetH * Width + tap.OffsetW) * plan.InC * sizeof(float),
            };
        }

        return made;
    }

    private static void CopyRows(void* context, int start, int end, int worker)
    {
        var image = (ConvImage*)context;
        int length = image->Width * image->channels, filled = image->sourceWidth * image->channels;
        int before = image->Border * image->channels;
        for (int row = start; row < end; row++)
        {
            var line = new Span<float>(image->Data + (long)row * length, length);
            int h = row % image->Height - image->Border;
            if ((uint)h >= (uint)image->sourceHeight)
            {
                line.Clear();
                continue;
            }

            float* from = image->source + ((long)(row / image->Height) * image->sourceHeight + h) * filled;
            line[..before].Clear();
            new ReadOnlySpan<float>(from, filled).CopyTo(line[before..]);
            line[(before + filled)..].Clear();
        }
    }
}

/// <summary>Taps that are one stretch of memory: where the first is relative to the pixel (also in bytes), and
/// floats.</summary>
internal struct TapRun
{
    public int OffsetH;
    public int OffsetW;
    public nint Length;
    public nint Offset;
}

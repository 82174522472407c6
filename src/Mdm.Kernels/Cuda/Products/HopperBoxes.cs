using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cuda.Products;

/// <summary>How pixels are cut into boxes. As <c>HopperBoxes</c> of hopper_conv.cu.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct HopperBoxes(int Width, int Height, int Batch, int Across, int Down, int LogWidth, int LogHeight)
{
    /// <summary>Boxes in all.</summary>
    public int Count(int pixels) => checked(Across * Down * ((Batch + Images(pixels) - 1) / Images(pixels)));

    /// <summary>Images that a box of so many pixels spans.</summary>
    public int Images(int pixels) => pixels >> (LogWidth + LogHeight);

    /// <summary>The boxes of <paramref name="pixels"/> pixels (a power of two) that overhang least; among those, the ones in the
    /// fewest images and closest to squares, whose neighbours share most.</summary>
    public static HopperBoxes For(int batch, int height, int width, int pixels)
    {
        HopperBoxes best = default;
        (int Count, int Images, int Skew) least = (int.MaxValue, 0, 0);
        int log = int.Log2(pixels);
        for (int logWidth = 0; logWidth <= log; logWidth++)
        {
            for (int logHeight = 0; logHeight <= log - logWidth; logHeight++)
            {
                var boxes = new HopperBoxes(width, height, batch,
                    (width + (1 << logWidth) - 1) >> logWidth, (height + (1 << logHeight) - 1) >> logHeight, logWidth, logHeight);
                var cost = (boxes.Count(pixels), boxes.Images(pixels), Math.Abs(2 * logWidth - 2 * logHeight - 1));
                if (cost.CompareTo(least) < 0)
                    (least, best) = (cost, boxes);
            }
        }

        return best;
    }
}

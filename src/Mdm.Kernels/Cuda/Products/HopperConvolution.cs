using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Mdm.Kernels.Cuda.Products;

// The structures of kernels/hopper_conv.cu: same fields, same order.

/// <summary>Which map of an image, and how far from the product's pixel. Other: the tap's place in the weights; in their gradient,
/// dy's map.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct HopperTap(sbyte Map, sbyte Y, sbyte X, sbyte Other);

[InlineArray(16)]
internal struct SixteenTaps
{
    private HopperTap _first;
}

[StructLayout(LayoutKind.Sequential)]
internal struct HopperTaps
{
    public int Count;
    public SixteenTaps Tap;
}

/// <summary>Where pixel (y, x) of a product goes: pixel (Step·y + OwnY, Step·x + OwnX). With four products, each has its own
/// parity.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct HopperPixels(int Height, int Width, int Step, int OwnY, int OwnX, int Products);

/// <summary>An image: four times itself, or its four parities of rows and columns.</summary>
[InlineArray(4)]
internal struct HopperImages
{
    private TensorMap _first;
}

/// <summary>A convolution as Hopper's products see it: the pixels of a product, its taps, and where its pixels go. The kernel's
/// file says why these are the taps.</summary>
/// <param name="Height">Rows of the product's pixels.</param>
/// <param name="Width">Columns of them.</param>
/// <param name="Taps">Of each product; where there are four beside each other, one after the other.</param>
/// <param name="Out">Where results go; not of use to the weights' gradient.</param>
/// <param name="Parities">Whether the image that moves with the taps (x; dy in the data gradient) is read by parities.</param>
internal readonly record struct HopperConvolution(int Height, int Width, HopperTaps Taps, HopperPixels Out, bool Parities)
{
    /// <summary>Launches of the data gradient.</summary>
    public static int DataParts(in ConvShape s) => s.Stride == 2 ? 4 : 1;

    public static HopperConvolution Forward(in ConvShape s) => s.Upsample
        ? new(s.Height, s.Width, Doubled(4, parity => parity), new(s.OutHeight, s.OutWidth, 2, 0, 0, 4), false)
        : new(s.OutHeight, s.OutWidth, Square(3, -1, s.Stride == 2), new(s.OutHeight, s.OutWidth, 1, 0, 0, 1), s.Stride == 2);

    /// <param name="s">Sizes.</param>
    /// <param name="part">With stride 2, the parity of dx: 2 (row) + column.</param>
    public static HopperConvolution Data(in ConvShape s, int part)
    {
        if (s.Stride == 1)
        {
            HopperTaps all = s.Upsample ? Square(4, -1, true) : Square(3, -1, false);
            if (!s.Upsample)
                all.Tap[..9].Reverse(); // dx(h) = Σ_r dy(h + 1 - r) w(r)
            for (int i = 0; i < all.Count; i++)
                all.Tap[i] = all.Tap[i] with { Other = (sbyte)i };
            return new(s.Height, s.Width, all, new(s.Height, s.Width, 1, 0, 0, 1), s.Upsample);
        }

        // dx(2h) = dy(h) w(1);  dx(2h + 1) = dy(h) w(2) + dy(h + 1) w(0)
        (int a, int b) = (part / 2, part % 2);
        var taps = new HopperTaps();
        for (int t = 0; t <= a; t++)
            for (int u = 0; u <= b; u++)
                taps.Tap[taps.Count++] = Tap(t, u, (3 * (1 + a - 2 * t)) + 1 + b - 2 * u, false);
        return new((s.Height + 1 - a) / 2, (s.Width + 1 - b) / 2, taps, new(s.Height, s.Width, 2, a, b, 1), false);
    }

    public static HopperConvolution Weight(in ConvShape s)
    {
        if (s.Upsample)
        {
            HopperTaps taps = Doubled(16, parity => parity / 4);
            return new(s.Height, s.Width, taps, default, false);
        }

        HopperTaps square = Square(3, -1, s.Stride == 2);
        for (int i = 0; i < square.Count; i++)
            square.Tap[i] = square.Tap[i] with { Other = 0 };
        return new(s.OutHeight, s.OutWidth, square, default, s.Stride == 2);
    }

    /// <summary>size x size taps, the first one (first, first) away, in order.</summary>
    private static HopperTaps Square(int size, int first, bool parities)
    {
        var taps = new HopperTaps { Count = size * size };
        for (int i = 0; i < taps.Count; i++)
            taps.Tap[i] = Tap(first + i / size, first + i % size, i, parities);
        return taps;
    }

    /// <summary>The four taps of each parity of a doubled image.</summary>
    private static HopperTaps Doubled(int count, Func<int, int> other)
    {
        var taps = new HopperTaps { Count = count };
        for (int i = 0; i < 16; i++)
            taps.Tap[i] = Tap(i / 8 - 1 + i % 4 / 2, i / 4 % 2 - 1 + i % 2, other(i), false);
        return taps;
    }

    private static HopperTap Tap(int y, int x, int other, bool parities) => parities
        ? new((sbyte)((y & 1) * 2 + (x & 1)), (sbyte)(y >> 1), (sbyte)(x >> 1), (sbyte)other)
        : new(0, (sbyte)y, (sbyte)x, (sbyte)other);
}

using System.Buffers.Binary;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats.Images;

/// <summary>The IHDR chunk: size and kind of pixels.</summary>
internal readonly record struct PngHeader(int Width, int Height, int BitDepth, int ColorType, bool Interlaced)
{
    public const int Grey = 0;
    public const int Rgb = 2;
    public const int Palette = 3;
    public const int GreyAlpha = 4;
    public const int RgbAlpha = 6;

    public int Channels => ColorType switch
    {
        Rgb => 3,
        GreyAlpha => 2,
        RgbAlpha => 4,
        _ => 1,
    };

    public int BitsPerPixel => Channels * BitDepth;

    public static PngHeader Parse(ReadOnlySpan<byte> data)
    {
        if (data.Length != 13)
            throw new MdmException($"PNG: found a header of {data.Length} bytes, expected 13");
        long width = BinaryPrimitives.ReadUInt32BigEndian(data);
        long height = BinaryPrimitives.ReadUInt32BigEndian(data[4..]);
        (int depth, int color) = (data[8], data[9]);
        bool known = color switch
        {
            Grey => depth is 1 or 2 or 4 or 8 or 16,
            Palette => depth is 1 or 2 or 4 or 8,
            Rgb or GreyAlpha or RgbAlpha => depth is 8 or 16,
            _ => false,
        };
        if (!known)
            throw new MdmException($"PNG: found colour type {color} with {depth} bits, which does not exist");
        if (data[10] != 0 || data[11] != 0 || data[12] > 1)
            throw new MdmException(
                $"PNG: found compression {data[10]}, filter {data[11]}, interlace {data[12]}, expected 0, 0, 0 or 1");
        Image.ByteCount(width, height);
        return new PngHeader((int)width, (int)height, depth, color, data[12] == 1);
    }

    /// <summary>The parts in which the picture is stored: one, or the seven of Adam7. Parts without pixels are left
    /// out.</summary>
    public IEnumerable<PngPass> Passes()
    {
        PngPass[] all = Interlaced
            ? [new(0, 0, 8, 8), new(4, 0, 8, 8), new(0, 4, 4, 8), new(2, 0, 4, 4), new(0, 2, 2, 4), new(1, 0, 2, 2),
                new(0, 1, 1, 2)]
            : [new(0, 0, 1, 1)];
        foreach (PngPass pass in all)
            if (pass.Columns(Width) > 0 && pass.Rows(Height) > 0)
                yield return pass;
    }

    /// <summary>Bytes of one row of so many pixels, without the filter byte.</summary>
    public int RowBytes(int pixels) => (int)(((long)pixels * BitsPerPixel + 7) / 8);
}

/// <summary>Pixels (Left + i * StepX, Top + j * StepY).</summary>
internal readonly record struct PngPass(int Left, int Top, int StepX, int StepY)
{
    public int Columns(int width) => width <= Left ? 0 : (width - Left + StepX - 1) / StepX;

    public int Rows(int height) => height <= Top ? 0 : (height - Top + StepY - 1) / StepY;
}

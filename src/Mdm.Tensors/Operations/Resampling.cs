using Mdm.Kernels;

namespace Mdm.Tensors.Operations;

public static partial class Op
{
    /// <summary>Nearest-neighbour doubling: [B,H,W,C] to [B,2H,2W,C].</summary>
    public static Tensor UpsampleNearest(Tensor x)
    {
        (int b, int h, int w, int c) = ImageSizes("upsampling", x);
        Tensor y = Tensor.Empty(x.Device, new Shape(b, 2 * h, 2 * w, c), x.Type);
        x.Kernels.UpsampleNearest(b, h, w, c, x.Ptr, y.Ptr);
        return Tape.Record(y, [x], saved: [], dy => x.Kernels.UpsampleNearestBackward(b, h, w, c, dy.Ptr, dy.Target(x)));
    }

    /// <summary>Means of factor x factor blocks: [B,H,W,C] to [B,H/factor,W/factor,C].</summary>
    public static Tensor AveragePool(Tensor x, int factor)
    {
        (int b, int h, int w, int c) = ImageSizes("average pooling", x);
        if (factor < 1 || h % factor != 0 || w % factor != 0)
            throw new ArgumentException(
                $"average pooling: an image of {w}x{h} cannot be divided into blocks of {factor}x{factor}");
        Tensor y = Tensor.Empty(x.Device, new Shape(b, h / factor, w / factor, c), x.Type);
        x.Kernels.AveragePool(b, h, w, c, factor, x.Ptr, y.Ptr);
        return Tape.Record(y, [x], saved: [],
            dy => x.Kernels.AveragePoolBackward(b, h, w, c, factor, dy.Ptr, dy.Target(x)));
    }

    /// <summary>Resizes [B,H,W,C] to [B,height,width,C], pixel centres at half-integers, no antialiasing. No gradient.</summary>
    public static Tensor Resize(Tensor x, int height, int width, ResizeFilter filter = ResizeFilter.Bilinear)
    {
        (int b, int h, int w, int c) = ImageSizes("resizing", x);
        if (h < 1 || w < 1 || height < 1 || width < 1)
            throw new ArgumentException($"resizing: an image of {w}x{h} to {width}x{height}, expected sizes of 1 or more");
        Tensor y = Tensor.Empty(x.Device, new Shape(b, height, width, c), x.Type);
        x.Kernels.Resize(filter, b, h, w, c, height, width, x.Ptr, y.Ptr);
        return y;
    }

    private static (int Batch, int Height, int Width, int Channels) ImageSizes(string operation, Tensor x) =>
        x.Shape.Rank == 4
            ? (x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3])
            : throw new ArgumentException(
                $"{operation}: the input has the shape {x.Shape}, expected [batch, height, width, channels]");
}

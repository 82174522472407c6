namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private const string ResamplingFile = "resampling.cu";

    private static KernelModule[] ResamplingModules => KernelModule.BothTypes(ResamplingFile);

    public void UpsampleNearest(int batch, int height, int width, int channels, Ptr x, Ptr y)
    {
        RequireType("upsampling: y", y, x.Type);
        (string suffix, int groups) = Groups(channels, x, y);
        long units = (long)batch * height * width * groups;
        if (units > 0)
            LaunchBlocks(ResamplingFile, "upsample_nearest" + suffix, x.Type, StrideBlocks(units), units, width, groups, x,
                y);
    }

    public void UpsampleNearestBackward(int batch, int height, int width, int channels, Ptr dy, Target dx) =>
        SumBlocks(batch, height, width, channels, 2, 1f, dy, dx);

    public void AveragePool(int batch, int height, int width, int channels, int factor, Ptr x, Ptr y)
    {
        RequireMultiple(height, width, factor);
        SumBlocks(batch, height / factor, width / factor, channels, factor, 1f / (factor * factor), x, new Target(y, false));
    }

    public void AveragePoolBackward(int batch, int height, int width, int channels, int factor, Ptr dy, Target dx)
    {
        RequireType("gradient of pooling: dx", dx, dy.Type);
        RequireMultiple(height, width, factor);
        (string suffix, int groups) = Groups(channels, dy, dx.Ptr);
        long units = (long)batch * height * width * groups;
        if (units > 0 && !dx.IsNone)
            LaunchBlocks(ResamplingFile, "spread_blocks" + suffix, dy.Type, StrideBlocks(units), units, height, width,
                groups, factor, 1f / (factor * factor), dy, dx.Ptr, dx.Accumulate);
    }

    public void Resize(
        ResizeFilter filter, int batch, int height, int width, int channels, int outHeight, int outWidth, Ptr x, Ptr y)
    {
        const int TapBytes = 32;
        RequireType("resizing: y", y, x.Type);
        (string suffix, int groups) = Groups(channels, x, y);
        long units = (long)batch * outHeight * outWidth * groups;
        if (units == 0)
            return;
        bool cubic = filter == ResizeFilter.Bicubic;
        using Scratch scratch = device.Borrow((long)TapBytes * (outHeight + outWidth));
        Ptr down = scratch.As(DType.UInt8), across = down + (long)TapBytes * outHeight;
        LaunchBlocks(ResamplingFile, "resize_taps", x.Type, Blocks(outHeight, ElementThreads), height, outHeight, cubic, down);
        LaunchBlocks(ResamplingFile, "resize_taps", x.Type, Blocks(outWidth, ElementThreads), width, outWidth, cubic, across);
        LaunchBlocks(ResamplingFile, "resize" + suffix, x.Type, StrideBlocks(units), units, cubic ? 4 : 2, height, width,
            outHeight, outWidth, groups, down, across, x, y);
    }

    /// <summary>y [batch, height, width, channels] = scale · the sums of factor x factor blocks of x.</summary>
    private void SumBlocks(int batch, int height, int width, int channels, int factor, float scale, Ptr x, Target y)
    {
        RequireType("sums of blocks: y", y, x.Type);
        (string suffix, int groups) = Groups(channels, x, y.Ptr);
        long units = (long)batch * height * width * groups;
        if (units > 0 && !y.IsNone)
            LaunchBlocks(ResamplingFile, "sum_blocks" + suffix, x.Type, StrideBlocks(units), units, width, groups, factor,
                scale, x, y.Ptr, y.Accumulate);
    }

    /// <summary>How a pixel's channels are taken: 16 bytes at a time where all is a multiple of that, else one by one.</summary>
    private static (string Suffix, int Groups) Groups(int channels, Ptr x, Ptr y) =>
        IsWide(x.Type, channels, x, y) ? ("_wide", channels / (16 / x.Type.Size())) : ("", channels);

    private static void RequireMultiple(int height, int width, int factor)
    {
        if (height % factor != 0 || width % factor != 0)
            throw new ArgumentException($"{height}x{width} is not a multiple of the factor {factor}", nameof(factor));
    }
}

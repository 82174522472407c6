using Mdm.Kernels;

namespace Mdm.Tensors.Operations;

public static partial class Op
{
    /// <summary>Cuts images that are grids of side x side frames into frames, row by row: [B,side·H,side·W,C] to
    /// [B·side²,H,W,C]; x itself for one frame.</summary>
    public static Tensor GridToFrames(Tensor x, int side)
    {
        (int b, int h, int w, int c) = ImageSizes("frames of a grid", x);
        if (side < 1 || h % side != 0 || w % side != 0)
            throw new ArgumentException($"frames of a grid: an image of {w}x{h} cannot be cut into {side}x{side} frames");
        var frames = new Shape(b * side * side, h / side, w / side, c);
        return side == 1 ? x : Moved(x, frames, GridMove(b, side, h / side, w / side * c));
    }

    /// <summary>The other way: frames [B·side²,H,W,C] to images [B,side·H,side·W,C].</summary>
    public static Tensor FramesToGrid(Tensor x, int side)
    {
        (int n, int h, int w, int c) = ImageSizes("grid of frames", x);
        if (side < 1 || n % (side * side) != 0)
            throw new ArgumentException($"grid of frames: {n} frames do not make grids of {side}x{side}");
        int b = n / Math.Max(1, side * side);
        return side == 1 ? x : Moved(x, new Shape(b, side * h, side * w, c), GridMove(b, side, h, w * c).Reversed());
    }

    /// <summary>Each pixel's sequence over frames: [B·frames,H,W,C] to [B·H·W,frames,C].</summary>
    public static Tensor FramesToPixels(Tensor x, int frames)
    {
        (int n, int h, int w, int c) = ImageSizes("pixels over frames", x);
        RequireFrames("pixels over frames", n, frames);
        return Moved(x, new Shape(n / frames * h * w, frames, c), PixelMove(n / frames, frames, h * w, c));
    }

    /// <summary>The other way: [B·H·W,frames,C] to [B·frames,H,W,C].</summary>
    public static Tensor PixelsToFrames(Tensor x, int height, int width)
    {
        if (x.Shape.Rank != 3 || height < 1 || width < 1 || x.Shape[0] % (height * width) != 0)
            throw new ArgumentException(
                $"frames of pixels: the shape {x.Shape} is not [batch x {height}x{width}, frames, channels]");
        int b = x.Shape[0] / (height * width), frames = x.Shape[1], c = x.Shape[2];
        return Moved(x, new Shape(b * frames, height, width, c), PixelMove(b, frames, height * width, c).Reversed());
    }

    /// <summary>Every sample count times, one behind the other: [B,...] to [B·count,...]; x itself for one.</summary>
    public static Tensor RepeatSamples(Tensor x, int count)
    {
        if (count < 1)
            throw new ArgumentException($"repetition of samples: found {count} times, expected 1 or more");
        if (count == 1)
            return x;
        int batch = x.Shape[0], inner = checked((int)(x.Count / Math.Max(1, batch)));
        Tensor y = Tensor.Empty(x.Device, x.Shape.With(0, batch * count), x.Type);
        IKernels k = x.Kernels;
        k.CopyBlocks(new BlockGrid(1, batch, count, inner), x.Ptr, new BlockStrides(0, inner, 0), new Target(y.Ptr, false),
            new BlockStrides(0, (long)count * inner, inner));
        return Tape.Record(y, [x], saved: [], dy =>
        {
            Target dx = dy.Target(x);
            for (int i = 0; i < count; i++)
                k.CopyRows(batch, inner, new Rows(dy.Ptr + (long)i * inner, count * inner),
                    new RowsTarget(dx.Ptr, inner, dx.Accumulate || i > 0));
        });
    }

    /// <summary>Rotary positions of the queries and keys of qkv [B,L,3C] as <see cref="SelfAttention"/> takes them: in each head
    /// of width d the pair (2k, 2k+1) at position t is turned by t·10000^(-2k/d). Values stay as they are.</summary>
    public static Tensor RotaryPositions(Tensor qkv, int heads)
    {
        int channels = HeadChannels("rotary positions", qkv, 3, heads), width = channels / heads;
        if (width % 2 != 0)
            throw new ArgumentException($"rotary positions: heads of {width} channels, expected an even number");
        int rows = qkv.Shape[0] * qkv.Shape[1], length = qkv.Shape[1], stride = 3 * channels, values = 2 * channels;
        var shape = new RotaryShape(rows, length, values, width);
        Tensor y = Tensor.Like(qkv);
        Turn(shape, qkv.Ptr, new Target(y.Ptr, false));
        return Tape.Record(y, [qkv], saved: [], dy => Turn(shape with { Inverse = true }, dy.Ptr, dy.Target(qkv)));

        void Turn(RotaryShape turn, Ptr from, Target to)
        {
            qkv.Kernels.Rotate(turn, new Rows(from, stride), new RowsTarget(to.Ptr, stride, to.Accumulate));
            qkv.Kernels.CopyRows(
                rows, channels, new Rows(from + values, stride), new RowsTarget(to.Ptr + values, stride, to.Accumulate));
        }
    }

    private static void RequireFrames(string operation, int images, int frames)
    {
        if (frames < 1 || images % frames != 0)
            throw new ArgumentException($"{operation}: {images} images are not sequences of {frames} frames");
    }

    // A grid's rows of pixels: row of frames (outer), row within the frame, column of frames.
    private static Move GridMove(int batch, int side, int height, int rowLength)
    {
        long row = rowLength;
        return new Move(new BlockGrid(batch * side, height, side, rowLength),
            new BlockStrides(side * height * row, side * row, row), new BlockStrides(side * height * row, row, height * row));
    }

    private static Move PixelMove(int batch, int frames, int pixels, int channels)
    {
        long c = channels;
        return new Move(new BlockGrid(batch, frames, pixels, channels), new BlockStrides(frames * pixels * c, pixels * c, c),
            new BlockStrides(frames * pixels * c, c, frames * c));
    }

    private static Tensor Moved(Tensor x, Shape shape, Move move)
    {
        Tensor y = Tensor.Empty(x.Device, shape, x.Type);
        x.Kernels.CopyBlocks(move.Grid, x.Ptr, move.From, new Target(y.Ptr, false), move.To);
        return Tape.Record(y, [x], saved: [], dy =>
            x.Kernels.CopyBlocks(move.Grid, dy.Ptr, move.To, dy.Target(x), move.From));
    }

    private readonly record struct Move(BlockGrid Grid, BlockStrides From, BlockStrides To)
    {
        public Move Reversed() => new(Grid, To, From);
    }
}

using Mdm.Kernels;

namespace Mdm.Tensors.Operations;

public static partial class Op
{
    /// <summary>Convolution of three taps over the frames, padding 1: x [B·frames,H,W,I], w [O,1,3,I], b [O],
    /// y [B·frames',H,W,O] with y[t] = b + Σ_r x[t·stride+r-1] w[r] and frames' = ⌈frames/stride⌉. With upsample, every frame is first doubled.</summary>
    public static Tensor ConvFrames(Tensor x, int frames, Tensor w, Tensor? b = null, int stride = 1, bool upsample = false)
    {
        const string Name = "convolution over frames";
        (int images, int height, int width, int inputs) = ImageSizes(Name, x);
        RequireFrames(Name, images, frames);
        if (w.Shape.Rank != 4 || w.Shape[1] != 1 || w.Shape[2] != 3 || w.Shape[3] != inputs)
            throw new ArgumentException(
                $"{Name}: images of {inputs} channels do not fit a weight of shape {w.Shape} [out, 1, 3, in]");
        if (stride is not (1 or 2) || (upsample && stride != 1))
            throw new ArgumentException(
                $"{Name}: stride {stride}{(upsample ? " with upsampling" : "")} is not supported, expected 1 or 2");
        RequireBias(Name, b, w.Shape[0]);
        var layout = new FrameLayout(images / frames, frames, height * width, inputs, w.Shape[0], stride, upsample ? 2 : 1);
        IKernels k = x.Kernels;

        using Tensor padded = Scope.Detach(layout.Pad(x));
        using Tensor made = Scope.Detach(Tensor.Empty(x.Device, layout.Made, x.Type));
        for (int t = 0; t < layout.FramesMade; t++)
            k.MatMul(layout.Forward, layout.Window(padded, t), w.PtrAs(x.Type), new Target(layout.Frame(made, t), false),
                b?.Ptr ?? Ptr.None);
        Tensor y = Tensor.Empty(x.Device, new Shape(layout.Batch * layout.FramesMade, height, width, layout.Outputs), x.Type);
        Move move = PixelMove(layout.Batch, layout.FramesMade, layout.Pixels, layout.Outputs);
        k.CopyBlocks(move.Grid, made.Ptr, move.To, new Target(y.Ptr, false), move.From);

        return Tape.Record(y, [x, w, b], saved: [x, w], dy =>
        {
            if (b is { RequiresGradient: true })
                k.SumColumns(layout.Made.Count / layout.Outputs, layout.Outputs, dy.Ptr, dy.Target(b));
            using Tensor dmade = Scope.Detach(Tensor.Empty(x.Device, layout.Made, x.Type));
            k.CopyBlocks(move.Grid, dy.Ptr, move.From, new Target(dmade.Ptr, false), move.To);
            if (w.RequiresGradient)
            {
                Target dw = dy.Target(w);
                using Tensor seen = Scope.Detach(layout.Pad(x));
                for (int t = 0; t < layout.FramesMade; t++)
                    k.MatMul(layout.BackwardWeight, layout.Frame(dmade, t), layout.Window(seen, t),
                        new Target(dw.Ptr, dw.Accumulate || t > 0));
            }

            if (x.RequiresGradient)
            {
                using Tensor dpadded = Scope.Detach(Tensor.Zeros(x.Device, layout.Padded, x.Type));
                for (int t = 0; t < layout.FramesMade; t++)
                    k.MatMul(layout.BackwardData, layout.Frame(dmade, t), w.PtrAs(x.Type),
                        new Target(layout.Window(dpadded, t), true));
                layout.Unpad(dpadded, dy.Target(x));
            }
        });
    }

    /// <summary>The convolution as products: per pixel, the frames lie behind each other between two of zeros, so that the three
    /// frames under the taps are one row of 3·Inputs numbers, and frame t of all results is one product.</summary>
    private sealed record FrameLayout(int Batch, int Frames, int Pixels, int Inputs, int Outputs, int Stride, int Repeat)
    {
        public int FramesMade => (Frames * Repeat - 1) / Stride + 1;

        private int Rows => Batch * Pixels;

        private int Length => Frames * Repeat + 2;

        public Shape Padded => new(Rows, Length, Inputs);

        public Shape Made => new(Rows, FramesMade, Outputs);

        public MatMulShape Forward =>
            new(Rows, Outputs, 3 * Inputs, false, true, Length * Inputs, 3 * Inputs, FramesMade * Outputs);

        public MatMulShape BackwardWeight =>
            new(Outputs, 3 * Inputs, Rows, true, false, FramesMade * Outputs, Length * Inputs, 3 * Inputs);

        public MatMulShape BackwardData =>
            new(Rows, 3 * Inputs, Outputs, false, false, FramesMade * Outputs, 3 * Inputs, Length * Inputs);

        private BlockGrid Grid => new(Batch, Frames, Pixels, Inputs);

        private BlockStrides InFrames => new((long)Frames * Pixels * Inputs, (long)Pixels * Inputs, Inputs);

        private BlockStrides InPadded => new((long)Pixels * Length * Inputs, Repeat * Inputs, (long)Length * Inputs);

        public Ptr Window(Tensor padded, int t) => padded.Ptr + (long)t * Stride * Inputs;

        public Ptr Frame(Tensor made, int t) => made.Ptr + (long)t * Outputs;

        public Tensor Pad(Tensor x)
        {
            Tensor padded = Tensor.Zeros(x.Device, Padded, x.Type);
            for (int i = 1; i <= Repeat; i++)
                x.Kernels.CopyBlocks(Grid, x.Ptr, InFrames, new Target(padded.Ptr + (long)i * Inputs, false), InPadded);
            return padded;
        }

        public void Unpad(Tensor padded, Target x)
        {
            for (int i = 1; i <= Repeat; i++)
                padded.Kernels.CopyBlocks(Grid, padded.Ptr + (long)i * Inputs, InPadded,
                    new Target(x.Ptr, x.Accumulate || i > 1), InFrames);
        }
    }
}

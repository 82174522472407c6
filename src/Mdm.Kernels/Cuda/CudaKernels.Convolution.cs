using Mdm.Kernels.Cuda.Products;
using Mdm.Kernels.Cuda.Ways;

namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    private static KernelModule[] ConvolutionModules =>
        [.. ProductTile.All.Select(t => t.Conv), .. KernelModule.BothTypes("conv_weights.cu")];

    public void Conv3x3Forward(in ConvShape shape, Ptr x, Ptr w, Ptr bias, Ptr residual, Ptr y) =>
        Convolve(new ConvCall(ConvPass.Forward, shape, x, w,
            ProductOutput.Of(x.Type, shape.OutChannels, shape.OutChannels, new Target(y, false), bias, residual)));

    public void Conv3x3BackwardData(in ConvShape shape, Ptr dy, Ptr w, Target dx)
    {
        if (!dx.IsNone)
            Convolve(new ConvCall(ConvPass.Data, shape, dy, w,
                ProductOutput.Of(dy.Type, shape.InChannels, shape.InChannels, dx, default, default)));
    }

    public void Conv3x3BackwardWeight(in ConvShape shape, Ptr x, Ptr dy, Target dw, Target db = default)
    {
        int row = 9 * shape.InChannels;
        if (dw.IsNone || row == 0)
            SumColumns((long)shape.Batch * shape.OutHeight * shape.OutWidth, shape.OutChannels, dy, db);
        else
            Convolve(new ConvCall(ConvPass.Weight, shape, x, dy,
                WithRowSums(ProductOutput.Of(x.Type, row, row, dw, default, default), db)));
    }

    /// <summary>Every product of a convolution passes here.</summary>
    private void Convolve(in ConvCall call)
    {
        if (call.Count == 0)
            return;
        ConvKey key = call.Key(MathOf(call.Image.Type));
        if (!convWays.Settled(key, out Way way))
            way = ChooseWay(call, key);
        if (!TryConvolve(way, call))
            TryConvolve(Way.Reckoned, call);
    }

    private Way ChooseWay(ConvCall call, in ConvKey key) => convWays.Choose(key, Way.All(key.Math), way =>
    {
        using Scratch c = device.Borrow(call.Count * sizeof(float)), rows = device.Borrow(call.Shape.OutChannels * sizeof(float));
        return TryConvolve(
            way, call with { Output = call.Output.Elsewhere(c.As(DType.UInt8).Address, 0, rows.As(DType.UInt8).Address) });
    });

    /// <summary>Computes a convolution in one way; false: that is none for it.</summary>
    private bool TryConvolve(Way way, in ConvCall call) => way.Maker switch
    {
        Maker.Library => LibraryConvolve(call, way.Tile) && SumBias(call.OutPixels, call.Shape.OutChannels, call.Other, call.Output.Rows),
        Maker.Hopper => HopperConvolve(call, way),
        Maker.Portable => PortableConvolve(call, way),
        _ => HopperConvolve(call, way) || PortableConvolve(call, way),
    };

    private bool HopperConvolve(in ConvCall call, Way way) => call.Pass == ConvPass.Weight
        ? HopperConvolveWeight(call.Shape, call.Image, call.Other, call.Output, way)
        : HopperConvolve(call.Shape, call.Image, call.Other, call.Pass == ConvPass.Data, call.Output, way);

    private bool PortableConvolve(in ConvCall call, Way way) => call.Pass switch
    {
        ConvPass.Forward => Forward(call.Shape, call.Image, call.Other, call.Output, way),
        ConvPass.Data => DataGradient(call.Shape, call.Image, call.Other, call.Output, way),
        _ => WeightGradient(call.Shape, call.Image, call.Other, call.Output, way),
    };

    private bool Forward(in ConvShape shape, Ptr x, Ptr w, in ProductOutput output, Way way)
    {
        int inputs = shape.InChannels, outputs = shape.OutChannels;
        var arguments = new ConvArguments
        {
            Image = new ConvImage(shape.Height, shape.Width, inputs, shape.Stride),
            N = outputs,
            OutHeight = shape.OutHeight,
            OutWidth = shape.OutWidth,
        };
        if (!shape.Upsample)
        {
            arguments.WeightRow = 9 * inputs;
            arguments.Taps[0] = Taps(shape.Batch, shape.OutHeight, shape.OutWidth, 3, 3, inputs, -1, -1);
            return Convolve("conv_forward", x, w, 1, arguments, output, way);
        }

        using Scratch sums = SumWeights("conv_weights_forward", w, shape);
        arguments.WeightRow = 16 * inputs;
        arguments.OutStep = 2;
        for (int parity = 0; parity < 4; parity++)
        {
            (int a, int b) = (parity / 2, parity % 2);
            ConvTaps taps = Taps(shape.Batch, shape.Height, shape.Width, 2, 2, inputs, a - 1, b - 1);
            (taps.OutY, taps.OutX, taps.Weight) = (a, b, 4L * parity * inputs);
            arguments.Taps[parity] = taps;
        }

        return Convolve("conv_forward", x, sums.As(w.Type), 4, arguments, output, way);
    }

    private bool DataGradient(in ConvShape shape, Ptr dy, Ptr w, in ProductOutput output, Way way)
    {
        int inputs = shape.InChannels, outputs = shape.OutChannels;
        var arguments = new ConvArguments
        {
            Image = new ConvImage(shape.OutHeight, shape.OutWidth, outputs, shape.Upsample ? 2 : 1),
            N = inputs,
            WeightRow = shape.Upsample ? inputs : 9 * inputs,
            OutHeight = shape.Height,
            OutWidth = shape.Width,
        };
        if (shape.Upsample)
        {
            using Scratch sums = SumWeights("conv_weights_data", w, shape);
            ConvTaps taps = Taps(shape.Batch, shape.Height, shape.Width, 4, 4, outputs, -1, -1);
            (taps.WeightRow, taps.WeightColumn) = (checked(4 * outputs * inputs), outputs * inputs);
            arguments.Taps[0] = taps;
            return Convolve("conv_data", dy, sums.As(w.Type), 1, arguments, output, way);
        }

        if (shape.Stride == 1)
        {
            // dx(h) = Σ_r dy(h - 1 + r) w(2 - r)
            ConvTaps taps = Taps(shape.Batch, shape.Height, shape.Width, 3, 3, outputs, -1, -1);
            (taps.Weight, taps.WeightRow, taps.WeightColumn) = (8L * inputs, -3 * inputs, -inputs);
            arguments.Taps[0] = taps;
            return Convolve("conv_data", dy, w, 1, arguments, output, way);
        }

        // dx(2h) = dy(h) w(1);  dx(2h + 1) = dy(h) w(2) + dy(h + 1) w(0)
        arguments.OutStep = 2;
        for (int parity = 0; parity < 4; parity++)
        {
            (int a, int b) = (parity / 2, parity % 2);
            (int height, int width) = ((shape.Height + 1 - a) / 2, (shape.Width + 1 - b) / 2);
            ConvTaps taps = Taps(shape.Batch, height, width, 1 + a, 1 + b, outputs, 0, 0);
            (taps.OutY, taps.OutX) = (a, b);
            taps.Weight = (3 * (1 + a) + 1 + b) * (long)inputs;
            (taps.WeightRow, taps.WeightColumn) = (-6 * inputs, -2 * inputs);
            arguments.Taps[parity] = taps;
        }

        return Convolve("conv_data", dy, w, 4, arguments, output, way);
    }

    private bool WeightGradient(in ConvShape shape, Ptr x, Ptr dy, in ProductOutput output, Way way)
    {
        if (shape.Upsample)
            return DoubledWeightGradient(shape, x, dy, output, way);
        int inputs = shape.InChannels, outputs = shape.OutChannels;
        var arguments = new ConvArguments
        {
            Image = new ConvImage(shape.Height, shape.Width, inputs, shape.Stride),
            N = 9 * inputs,
        };
        ConvTaps taps = Taps(shape.Batch, shape.OutHeight, shape.OutWidth, 3, 3, inputs, -1, -1);
        (taps.K, taps.M) = (taps.M, outputs);
        arguments.Taps[0] = taps;
        return Convolve("conv_weight", dy, x, 1, arguments, output, way);
    }

    /// <summary>The gradient of the 16 sums of weights, then of the weights they are made of.</summary>
    private bool DoubledWeightGradient(in ConvShape shape, Ptr x, Ptr dy, in ProductOutput output, Way way)
    {
        int inputs = shape.InChannels, outputs = shape.OutChannels;
        var arguments = new ConvArguments
        {
            A = dy.Address,
            B = x.Address,
            Image = new ConvImage(shape.Height, shape.Width, inputs, 1),
            N = 4 * inputs,
        };
        for (int parity = 0; parity < 4; parity++)
        {
            (int a, int b) = (parity / 2, parity % 2);
            ConvTaps taps = Taps(shape.Batch, shape.Height, shape.Width, 2, 2, inputs, a - 1, b - 1);
            (taps.K, taps.M, taps.OutY, taps.OutX) = (taps.M, outputs, a, b);
            arguments.Taps[parity] = taps;
        }

        if (Plan(x.Type, 4, true, outputs, ref arguments, way) is not { } tile)
            return false;
        ProductOutput sums = output;
        sums.Columns = (arguments.N + 7) / 8 * 8;
        using Scratch partial = Partial(4 * arguments.Parts, outputs, ref sums);
        using Scratch rows = PartialRows(4 * arguments.Parts * arguments.TilesN, outputs, ref sums);
        arguments.Output = sums;
        Run(tile, "conv_weight_doubled", 4, arguments);
        GradientOfSums(shape, x.Type, sums, arguments.Parts, (long)arguments.Parts * outputs * sums.Columns);
        return true;
    }

    /// <summary>The weights' gradient from that of their sums, <see cref="ProductOutput.Partial"/>.</summary>
    private void GradientOfSums(in ConvShape shape, DType type, in ProductOutput sums, int parts, long parityStep)
    {
        int inputs = shape.InChannels, outputs = shape.OutChannels;
        Launch("conv_weights.cu", "conv_weights_gradient", type, Blocks(9L * outputs * inputs + outputs, 256), 256, 0,
            new Ptr(sums.Partial, DType.Float32), sums.C, outputs, inputs, sums.Columns, parts, parityStep, sums.IsFloat,
            sums.Accumulate, Arg.By(in sums.Rows));
    }

    /// <summary>A product with rows (b, p, q), p &lt; height, q &lt; width, that reads rows · columns taps of channels each, the
    /// first of which is (y, x) away.</summary>
    private static ConvTaps Taps(int batch, int height, int width, int rows, int columns, int channels, int y, int x) => new()
    {
        ByImage = new FastDivide(Math.Max(1, checked(height * width))),
        ByRow = new FastDivide(Math.Max(1, width)),
        Columns = columns,
        Inverse = (32 + columns - 1) / columns,
        Taps = rows * columns,
        M = checked(batch * height * width),
        K = checked(rows * columns * channels),
        Y = y,
        X = x,
    };

    /// <summary>The 16 sums of taps that stand for the 9 of a convolution of a doubled image.</summary>
    private Scratch SumWeights(string kernel, Ptr w, in ConvShape shape)
    {
        long n = 16L * shape.OutChannels * shape.InChannels;
        Scratch sums = device.Borrow(n * w.Type.Size());
        if (n > 0)
        {
            Launch("conv_weights.cu", kernel, w.Type, Blocks(n, 256), 256, 0, w, sums.As(w.Type), shape.OutChannels,
                shape.InChannels);
        }

        return sums;
    }

    /// <summary>One product, or several that share operands and write different rows.</summary>
    private bool Convolve(string kernel, Ptr a, Ptr b, int products, ConvArguments arguments, ProductOutput output, Way way)
    {
        int m = arguments.Taps[0].M;
        if (m == 0 || arguments.N == 0)
            return true;
        (arguments.A, arguments.B) = (a.Address, b.Address);
        // The image's channels are contiguous in one operand; in the other one, these are.
        int others = kernel switch { "conv_weight" => m, "conv_data" => arguments.N, _ => arguments.Image.Channels };
        if (Plan(a.Type, products, products == 1, others, ref arguments, way) is not { } tile)
            return false;
        using Scratch partial = Parts(arguments.Parts, m, ref output);
        using Scratch rows = PartialRows(arguments.Parts * arguments.TilesN, m, ref output);
        arguments.Output = output;
        Run(tile, kernel, products, arguments);
        SumParts(a.Type, output, default, m, arguments.N, arguments.Parts);
        return true;
    }

    /// <summary>Chooses the tile and fills in how the products are divided; null: the way is none for them.</summary>
    private ProductTile? Plan(
        DType type, int products, bool divisible, int otherChannels, ref ConvArguments arguments, Way way)
    {
        int m = 0, k = 0;
        for (int i = 0; i < products; i++)
            (m, k) = (Math.Max(m, arguments.Taps[i].M), Math.Max(k, arguments.Taps[i].K));
        int chunk = 16 / type.Size();
        bool aligned = ((arguments.A | arguments.B) & 15) == 0 && arguments.Image.Channels % chunk == 0
            && otherChannels % chunk == 0;
        ProductPlan plan = ProductPlan.Choose(
            MathOf(type), aligned, m, arguments.N, k, products, divisible, device.Properties, way);
        if (plan.IsNone)
            return null;
        for (int i = 0; i < products; i++)
        {
            ref ConvTaps taps = ref arguments.Taps[i];
            taps.Steps = Blocks(taps.K, plan.Tile.Step);
            (arguments.Parts, taps.StepsPerPart) = Divide(taps.Steps, plan.Parts);
        }

        (arguments.TilesM, arguments.TilesN) = (Blocks(m, plan.Tile.M), Blocks(arguments.N, plan.Tile.N));
        return plan.Tile;
    }

    private void Run(ProductTile tile, string kernel, int products, in ConvArguments arguments)
    {
        var grid = new Dim3(checked(arguments.TilesM * arguments.TilesN), 1, products * arguments.Parts);
        device.Launch(new(tile.Conv, kernel), grid, tile.Threads, tile.SharedBytes, Arg.By(in arguments));
    }
}

using Mdm.Kernels.Cuda.Products;
using Mdm.Kernels.Cuda.Ways;

namespace Mdm.Kernels.Cuda;

internal sealed partial class CudaKernels
{
    /// <summary>A product on Hopper's matrix core; false: it is not one for it.</summary>
    internal bool HopperProduct(in MatMulShape shape, Ptr a, Ptr b, ProductOutput output, Way way = default)
    {
        if (!hopper.Handles(shape, a, b, output))
            return false;
        (int tilesM, int blocksN) = (Blocks(shape.M, HopperPlan.Rows), Blocks(shape.N, 64));
        HopperPlan plan = Plan(tilesM, blocksN, Blocks(shape.K, HopperPlan.Depth), shape.M, output, way);
        string kernel = (shape.TransposeA, shape.TransposeB) switch
        {
            (false, false) => output.Gate != 0 ? "hopper_matmul_nn_gate" : "hopper_matmul_nn",
            (false, true) => output.Z != 0 ? "hopper_matmul_nt_gelu" : "hopper_matmul_nt",
            (true, false) => "hopper_matmul_tn",
            _ => "hopper_matmul_tt",
        };
        if (plan.IsNone)
            return false;
        KernelModule module = Hopper.MatMul(plan);
        if (!hopper.Ready(module, kernel))
            return false;
        TensorMap mapA = hopper.Maps[shape.TransposeA
            ? TensorBoxes.Matrix(a.Address, shape.M, shape.K, shape.LdA, 64, HopperPlan.Depth)
            : TensorBoxes.Matrix(a.Address, shape.K, shape.M, shape.LdA, HopperPlan.Depth, HopperPlan.Rows)];
        TensorMap mapB = hopper.Maps[shape.TransposeB
            ? TensorBoxes.Matrix(b.Address, shape.K, shape.N, shape.LdB, HopperPlan.Depth, plan.TileN / plan.Cluster)
            : TensorBoxes.Matrix(b.Address, shape.N, shape.K, shape.LdB, 64, HopperPlan.Depth)];
        HopperWork work = plan.Work;
        using Scratch partial = Parts(work.Splits, shape.M, ref output);
        using Scratch rows = PartialRows(work.Splits * work.TilesN, shape.M, ref output);
        device.Launch(new(module, kernel), Grid(plan), Hopper.Threads, Hopper.SharedBytes,
            Arg.By(in mapA), Arg.By(in mapB), Arg.By(in work), Arg.By(in output), shape.M, shape.N);
        SumParts(a.Type, output, default, shape.M, shape.N, work.Splits);
        return true;
    }

    /// <summary>y = conv(x, w), or, with <paramref name="transposed"/>, dx from dy and w, on Hopper's matrix core.</summary>
    internal bool HopperConvolve(
        in ConvShape shape, Ptr image, Ptr w, bool transposed, ProductOutput output, Way way = default)
    {
        (int inner, int n) = transposed ? (shape.OutChannels, shape.InChannels) : (shape.InChannels, shape.OutChannels);
        if (!hopper.Handles(shape, image, w, shape.InChannels, inner))
            return false;
        string kernel = transposed ? "hopper_conv_data" : "hopper_conv_forward";
        int parts = transposed ? HopperConvolution.DataParts(shape) : 1;
        Span<HopperPlan> plans = stackalloc HopperPlan[parts];
        for (int part = 0; part < parts; part++)
        {
            HopperConvolution product = Product(shape, part);
            int tiles = HopperBoxes.For(shape.Batch, product.Height, product.Width, HopperPlan.Rows).Count(HopperPlan.Rows);
            plans[part] = Plan(tiles, Blocks(n, 64), product.Taps.Count * Blocks(inner, HopperPlan.Depth), Pixels(shape, product),
                output, way, product.Out.Products, parts == 1 ? int.MaxValue : 1);
            if (plans[part].IsNone || !hopper.Ready(Hopper.Conv(plans[part]), kernel))
                return false;
        }

        using Scratch sums = shape.Upsample ? SumWeights(transposed ? "conv_weights_data" : "conv_weights_forward", w, shape) : default;
        Ptr weights = shape.Upsample ? sums.As(w.Type) : w;
        for (int part = 0; part < parts; part++)
            Launch(shape, Product(shape, part), plans[part], kernel, image, weights, output);
        return true;

        HopperConvolution Product(in ConvShape s, int part) =>
            transposed ? HopperConvolution.Data(s, part) : HopperConvolution.Forward(s);
    }

    private void Launch(in ConvShape shape, in HopperConvolution product, in HopperPlan plan, string kernel, Ptr image, Ptr w,
        ProductOutput output)
    {
        bool transposed = kernel == "hopper_conv_data";
        int inputs = shape.InChannels, outputs = shape.OutChannels, n = transposed ? inputs : outputs;
        HopperBoxes boxes = HopperBoxes.For(shape.Batch, product.Height, product.Width, HopperPlan.Rows);
        HopperImages images = transposed
            ? Images(image, shape.Batch, shape.OutHeight, shape.OutWidth, outputs, product.Parities, boxes, HopperPlan.Rows)
            : Images(image, shape.Batch, shape.Height, shape.Width, inputs, product.Parities, boxes, HopperPlan.Rows);
        // The layouts of conv_weights.cu: [O,16,I] forward, [16,O,I] for the data gradient.
        int taps = shape.Upsample ? 16 : 9;
        long tap = inputs, row = (long)taps * inputs;
        if (shape.Upsample && transposed)
            (tap, row) = ((long)outputs * inputs, inputs);
        TensorMap weights = hopper.Maps[new TensorBoxes(w.Address, 3, inputs, taps, outputs, 0, tap, row, 0,
            64, 1, transposed ? HopperPlan.Depth : plan.TileN / plan.Cluster, 0)];
        HopperWork work = plan.Work;
        HopperTaps table = product.Taps;
        HopperPixels pixels = product.Out;
        using Scratch partial = Parts(work.Splits, Pixels(shape, product), ref output);
        device.Launch(new(Hopper.Conv(plan), kernel), Grid(plan), Hopper.Threads, Hopper.SharedBytes, Arg.By(in images),
            Arg.By(in weights), Arg.By(in work), Arg.By(in boxes), Arg.By(in table), Arg.By(in pixels), Arg.By(in output), n);
        SumParts(image.Type, output, default, Pixels(shape, product), n, work.Splits);
    }

    private static int Pixels(in ConvShape shape, in HopperConvolution product) =>
        checked(shape.Batch * product.Out.Height * product.Out.Width);

    /// <summary>dw from x and dy on Hopper's matrix core.</summary>
    internal bool HopperConvolveWeight(in ConvShape shape, Ptr x, Ptr dy, ProductOutput output, Way way = default)
    {
        int inputs = shape.InChannels, outputs = shape.OutChannels;
        if (!hopper.Handles(shape, x, dy, inputs, outputs))
            return false;
        HopperConvolution product = HopperConvolution.Weight(shape);
        HopperTaps taps = product.Taps;
        output.Columns = taps.Count * inputs;
        HopperBoxes boxes = HopperBoxes.For(shape.Batch, product.Height, product.Width, HopperPlan.Depth);
        HopperPlan plan = Plan(Blocks(outputs, HopperPlan.Rows), taps.Count * Blocks(inputs, 64), boxes.Count(HopperPlan.Depth),
            outputs, output, way);
        const string kernel = "hopper_conv_weight";
        if (plan.IsNone)
            return false;
        KernelModule module = Hopper.Conv(plan);
        if (!hopper.Ready(module, kernel))
            return false;
        HopperImages dyImages = Images(
            dy, shape.Batch, shape.OutHeight, shape.OutWidth, outputs, shape.Upsample, boxes, HopperPlan.Depth);
        HopperImages xImages = Images(
            x, shape.Batch, shape.Height, shape.Width, inputs, product.Parities, boxes, HopperPlan.Depth);
        HopperWork work = plan.Work;
        using Scratch partial = shape.Upsample
            ? Partial(work.Splits, outputs, ref output) : Parts(work.Splits, outputs, ref output);
        using Scratch rows = PartialRows(work.Splits * work.TilesN, outputs, ref output);
        device.Launch(new(module, kernel), Grid(plan), Hopper.Threads, Hopper.SharedBytes, Arg.By(in dyImages), Arg.By(in xImages),
            Arg.By(in work), Arg.By(in boxes), Arg.By(in taps), Arg.By(in output), outputs, inputs, shape.Upsample ? 4 : 1);
        if (shape.Upsample)
            GradientOfSums(shape, x.Type, output, work.Splits, 4L * inputs);
        else
            SumParts(x.Type, output, default, outputs, 9 * inputs, work.Splits);
        return true;
    }

    private HopperImages Images(
        Ptr image, int batch, int height, int width, int channels, bool parities, in HopperBoxes boxes, int pixels)
    {
        HopperImages images = default;
        int step = parities ? 2 : 1;
        for (int i = 0; i < 4; i++)
        {
            (int y, int x) = parities ? (i / 2, i % 2) : (0, 0);
            images[i] = hopper.Maps[new TensorBoxes((image + ((long)y * width + x) * channels).Address, 4,
                channels, (width - x + step - 1) / step, (height - y + step - 1) / step, batch,
                (long)step * channels, (long)step * width * channels, (long)height * width * channels,
                64, 1 << boxes.LogWidth, 1 << boxes.LogHeight, boxes.Images(pixels))];
        }

        return images;
    }

    private HopperPlan Plan(int tilesM, int blocksN, int steps, int rows, in ProductOutput output, Way way, int products = 1,
        int mostSplits = int.MaxValue)
    {
        const long largestPartial = 256 << 20;
        long room = largestPartial / sizeof(float) / rows / output.Columns;
        return HopperPlan.For(
            tilesM, blocksN, steps, device.Properties.Multiprocessors, (int)Math.Min(room, mostSplits), way, products);
    }

    private int Grid(in HopperPlan plan) =>
        (int)Math.Min(plan.Work.Pieces, device.Properties.Multiprocessors / plan.Cluster) * plan.Cluster;
}

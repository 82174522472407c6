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
        int pixels = checked(shape.Batch * shape.Height * shape.Width);
        HopperBoxes boxes = HopperBoxes.For(shape.Batch, shape.Height, shape.Width, HopperPlan.Rows);
        HopperPlan plan = Plan(
            boxes.Count(HopperPlan.Rows), Blocks(n, 64), 9 * Blocks(inner, HopperPlan.Depth), pixels, output, way);
        string kernel = transposed ? "hopper_conv_data" : "hopper_conv_forward";
        if (plan.IsNone)
            return false;
        KernelModule module = Hopper.Conv(plan);
        if (!hopper.Ready(module, kernel))
            return false;
        TensorMap imageMap = hopper.Maps[ImageBoxes(image, shape, inner, boxes, HopperPlan.Rows)];
        TensorMap weightMap = hopper.Maps[new TensorBoxes(w.Address, 3, shape.InChannels, 9, shape.OutChannels, 0,
            shape.InChannels, 9L * shape.InChannels, 0, 64, 1, transposed ? HopperPlan.Depth : plan.TileN / plan.Cluster, 0)];
        HopperWork work = plan.Work;
        using Scratch partial = Parts(work.Splits, pixels, ref output);
        device.Launch(new(module, kernel), Grid(plan), Hopper.Threads, Hopper.SharedBytes,
            Arg.By(in imageMap), Arg.By(in weightMap), Arg.By(in work), Arg.By(in boxes), Arg.By(in output), n);
        SumParts(image.Type, output, default, pixels, n, work.Splits);
        return true;
    }

    /// <summary>dw from x and dy on Hopper's matrix core.</summary>
    internal bool HopperConvolveWeight(in ConvShape shape, Ptr x, Ptr dy, ProductOutput output, Way way = default)
    {
        if (!hopper.Handles(shape, x, dy, shape.InChannels, shape.OutChannels))
            return false;
        HopperBoxes boxes = HopperBoxes.For(shape.Batch, shape.Height, shape.Width, HopperPlan.Depth);
        HopperPlan plan = Plan(Blocks(shape.OutChannels, HopperPlan.Rows), 9 * Blocks(shape.InChannels, 64),
            boxes.Count(HopperPlan.Depth), shape.OutChannels, output, way);
        const string kernel = "hopper_conv_weight";
        if (plan.IsNone)
            return false;
        KernelModule module = Hopper.Conv(plan);
        if (!hopper.Ready(module, kernel))
            return false;
        TensorMap dyMap = hopper.Maps[ImageBoxes(dy, shape, shape.OutChannels, boxes, HopperPlan.Depth)];
        TensorMap xMap = hopper.Maps[ImageBoxes(x, shape, shape.InChannels, boxes, HopperPlan.Depth)];
        HopperWork work = plan.Work;
        using Scratch partial = Parts(work.Splits, shape.OutChannels, ref output);
        using Scratch rows = PartialRows(work.Splits * work.TilesN, shape.OutChannels, ref output);
        device.Launch(new(module, kernel), Grid(plan), Hopper.Threads, Hopper.SharedBytes, Arg.By(in dyMap), Arg.By(in xMap),
            Arg.By(in work), Arg.By(in boxes), Arg.By(in output), shape.OutChannels, shape.InChannels);
        SumParts(x.Type, output, default, shape.OutChannels, 9 * shape.InChannels, work.Splits);
        return true;
    }

    private static TensorBoxes ImageBoxes(Ptr image, in ConvShape shape, int channels, in HopperBoxes boxes, int pixels) =>
        new(image.Address, 4, channels, shape.Width, shape.Height, shape.Batch,
            channels, (long)shape.Width * channels, (long)shape.Height * shape.Width * channels,
            64, 1 << boxes.LogWidth, 1 << boxes.LogHeight, boxes.Images(pixels));

    private HopperPlan Plan(int tilesM, int blocksN, int steps, int rows, in ProductOutput output, Way way)
    {
        const long largestPartial = 256 << 20;
        long room = largestPartial / sizeof(float) / rows / output.Columns;
        return HopperPlan.For(tilesM, blocksN, steps, device.Properties.Multiprocessors, (int)Math.Min(room, int.MaxValue), way);
    }

    private int Grid(in HopperPlan plan) =>
        (int)Math.Min(plan.Work.Pieces, device.Properties.Multiprocessors / plan.Cluster) * plan.Cluster;
}

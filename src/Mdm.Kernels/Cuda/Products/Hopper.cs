using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Cuda.Products;

/// <summary>Whether the matrix core of Hopper (hopper_*.cu) serves a product, a
/// convolution or an attention. It needs capability 90, a driver and an NVRTC of CUDA 12, bfloat16, and addresses and strides
/// that are multiples of 16 bytes; <c>MDM_HOPPER=0</c> turns it off. What it does not serve, the portable kernels do.</summary>
internal sealed class Hopper
{
    /// <summary>Dynamic shared memory: the ring of stages, 8 columns of ones, and what brings both to a multiple of 1,024
    /// bytes.</summary>
    public const int SharedBytes = (192 + 2) * 1024;

    /// <summary>Threads of a block: a warpgroup that copies and two that multiply.</summary>
    public const int Threads = 384;

    private const string MatMulFile = "hopper_matmul.cu";
    private const string ConvFile = "hopper_conv.cu";

    // For head widths up to 32, 64, 96 and 128.
    private static readonly KernelModule[] s_attentionForward = Widths("hopper_attention.cu");
    private static readonly KernelModule[] s_attentionBackward = Widths("hopper_attention_backward.cu");

    private readonly CudaDevice device;
    private readonly HashSet<KernelModule> compiled = [];
    private bool enabled;

    public unsafe Hopper(CudaDevice device)
    {
        this.device = device;
        enabled = device.Properties.HopperInstructions && device.Driver.TensorMapEncodeTiled != null
            && Environment.GetEnvironmentVariable("MDM_HOPPER") != "0";
        Maps = new TensorMaps(device.Driver);
    }

    /// <summary>Every compilation of these files.</summary>
    public static IEnumerable<KernelModule> Modules => HopperPlan.Tiles
        .SelectMany(t => new[] { Module(MatMulFile, t.TileN, t.Cluster), Module(ConvFile, t.TileN, t.Cluster) })
        .Concat(s_attentionForward).Concat(s_attentionBackward);

    /// <summary>Tensor maps of what it multiplies.</summary>
    public TensorMaps Maps { get; }

    public static KernelModule MatMul(in HopperPlan plan) => Module(MatMulFile, plan.TileN, plan.Cluster);

    public static KernelModule Conv(in HopperPlan plan) => Module(ConvFile, plan.TileN, plan.Cluster);

    /// <summary>The compilation for heads of a width from 1 to 128.</summary>
    public static KernelModule AttentionForward(int headWidth) => s_attentionForward[(headWidth - 1) / 32];

    /// <summary>The same for the gradients.</summary>
    public static KernelModule AttentionBackward(int headWidth) => s_attentionBackward[(headWidth - 1) / 32];

    /// <summary>Whether it serves a product.</summary>
    public bool Handles(in MatMulShape shape, Ptr a, Ptr b, in ProductOutput output) =>
        enabled && a.Type == DType.BFloat16 && shape.M > 0 && shape.N > 0 && shape.K > 0
        && ((a.Address | b.Address) & 15) == 0 && shape.LdA % 8 == 0 && shape.LdB % 8 == 0
        && (output.Z == 0 || (!shape.TransposeA && shape.TransposeB))
        && (output.Gate == 0 || (!shape.TransposeA && !shape.TransposeB));

    /// <summary>Whether it serves a convolution with these operands.</summary>
    /// <param name="shape">Sizes.</param>
    /// <param name="a">An image, or the weights.</param>
    /// <param name="b">The other operand.</param>
    /// <param name="channels">Those that are innermost in the operands.</param>
    public bool Handles(in ConvShape shape, Ptr a, Ptr b, params ReadOnlySpan<int> channels)
    {
        if (!enabled || a.Type != DType.BFloat16 || ((a.Address | b.Address) & 15) != 0
            || shape.Batch == 0 || shape.Height == 0 || shape.Width == 0 || shape.InChannels == 0 || shape.OutChannels == 0)
            return false;
        // Read by parities, every one of which must have a pixel.
        if (shape.Stride == 2 && (shape.Height < 2 || shape.Width < 2))
            return false;
        foreach (int c in channels)
        {
            if (c % 8 != 0)
                return false;
        }

        return true;
    }

    /// <summary>Whether it serves an attention with these operands.</summary>
    public bool Handles(in AttentionShape shape, params ReadOnlySpan<Rows> operands)
    {
        if (!enabled || shape.HeadWidth % 8 != 0 || shape.HeadWidth > 32 * s_attentionForward.Length || shape.HeadWidth == 0
            || !(shape.Scale > 0) || shape.Batch == 0 || shape.Heads == 0 || shape.Queries == 0 || shape.Keys == 0)
            return false;
        foreach (Rows rows in operands)
        {
            if (rows.Ptr.Type != DType.BFloat16 || (rows.Ptr.Address & 15) != 0 || rows.Stride % 8 != 0)
                return false;
        }

        return true;
    }

    /// <summary>Whether a module is there to be launched. It is compiled now if this is its first use; if that fails, there is
    /// one warning, and from then on the portable kernels serve everything.</summary>
    public bool Ready(KernelModule module, string kernel)
    {
        lock (compiled)
        {
            if (enabled && compiled.Add(module))
                enabled = Compiles(module, kernel);
            return enabled;
        }
    }

    private bool Compiles(KernelModule module, string kernel)
    {
        try
        {
            device.Prepare(new KernelId(module, kernel));
            return true;
        }
        catch (Exception problem) when (problem is MdmException or CudaException)
        {
            string reason = problem.Message.ReplaceLineEndings("\n").Split('\n') is var lines && lines.Length > 1
                ? $"{lines[0]} {lines[1].Trim()}"
                : problem.Message;
            Console.Error.WriteLine($"warning: {device.Name}: no wgmma kernels, slower ones are used: {reason}");
            return false;
        }
    }

    private static KernelModule[] Widths(string file) =>
        [.. Enumerable.Range(1, 4).Select(i => new KernelModule(file, $"WIDTH={32 * i}", 90))];

    private static KernelModule Module(string file, int tileN, int cluster) => new(file, Defines(tileN, cluster), 90);

    // Constants, so that a launch allocates nothing.
    private static string Defines(int tileN, int cluster) => (tileN, cluster) switch
    {
        (256, 2) => "TILE_N=256 CLUSTER=2",
        (256, 1) => "TILE_N=256 CLUSTER=1",
        (128, 2) => "TILE_N=128 CLUSTER=2",
        (128, 1) => "TILE_N=128 CLUSTER=1",
        (64, 1) => "TILE_N=64 CLUSTER=1",
        _ => throw new ArgumentException($"tiles of {tileN} columns in clusters of {cluster}: there are none"),
    };
}

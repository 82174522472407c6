using Mdm.Kernels.Cuda.Products;
using Mdm.Kernels.Cuda.Ways;

namespace Mdm.Kernels.Cuda;

/// <summary>The kernels of <c>kernels/*.cu</c> on one GPU, one file per family. Calls queue work on the device's stream and
/// return.</summary>
internal sealed partial class CudaKernels : IKernels
{
    // Asked for later than the families' own static fields are set, in whatever order the files come.
    private static readonly Lazy<IReadOnlyList<KernelModule>> s_modules = new(() =>
    [
        .. MatrixModules, .. ConvolutionModules, .. NormalizationModules, .. AttentionModules, .. ElementwiseModules,
        .. ReductionModules, .. ResamplingModules, .. RandomModules, .. IndexingModules, .. BlocksModules, .. OptimizerModules,
    ]);

    private readonly CudaDevice device;
    private readonly Hopper hopper;
    private readonly LibraryProducts libraryProducts;
    private readonly WayTable<ProductKey> productWays;
    private readonly WayTable<ConvKey> convWays;

    /// <param name="device">Where they run.</param>
    /// <param name="choices">The choices made before, if not those that the device keeps.</param>
    public CudaKernels(CudaDevice device, Func<WayFile>? choices = null)
    {
        this.device = device;
        hopper = new Hopper(device);
        libraryProducts = new LibraryProducts(device);
        Chooser = new WayChooser(device, choices ?? device.OpenChoices);
        productWays = new WayTable<ProductKey>(device, Chooser, "product");
        convWays = new WayTable<ConvKey>(device, Chooser, "convolution");
    }

    /// <summary>Every compilation that the kernels here may ask for, so that a first start can compile them together.</summary>
    public static IReadOnlyList<KernelModule> Modules => s_modules.Value;

    /// <summary>Finds the fastest of several kernels.</summary>
    public WayChooser Chooser { get; }

    /// <summary>Queues a kernel of a file that is compiled once for each type of activations.</summary>
    private void Launch(string file, string kernel, DType type, Dim3 grid, Dim3 block, int sharedBytes,
        params ReadOnlySpan<Arg> arguments) =>
        device.Launch(new KernelId(KernelModule.Of(file, type), kernel), grid, block, sharedBytes, arguments);

    /// <summary>Enough blocks of <paramref name="perBlock"/> elements for n.</summary>
    private static int Blocks(long n, int perBlock) => checked((int)((n + perBlock - 1) / perBlock));

    private static void RequireType(string what, Ptr operand, DType type)
    {
        if (!operand.IsNone && operand.Type != type)
            throw new ArgumentException($"{what} has the type {operand.Type}, expected {type}");
    }

    private static void RequireType(string what, Target target, DType type) => RequireType(what, target.Ptr, type);
}

using Mdm.Kernels;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Runs the tests of a fixture with the threads of the emulator in reverse and in shuffled order.</summary>
[TestFixtureSource(nameof(Orders))]
internal abstract class KernelFixture(string order)
{
    public static readonly string[] Orders = ["reverse", "shuffle:7"];

    protected static readonly DType[] Activations = [DType.Float32, DType.BFloat16];

    /// <summary>The arrays of the running test.</summary>
    protected KernelArrays Arrays { get; private set; } = null!;

    protected IKernels Kernels => Arrays.Kernels;

    [SetUp]
    public void ChooseOrder()
    {
        Arrays = new KernelArrays();
        if (!EmulatorSetUp.OnGpu)
            Planted.SetOrder(order);
    }

    [TearDown]
    public void Release()
    {
        Arrays.Dispose();
        if (EmulatorSetUp.OnGpu)
            return;
        Planted.SetOrder("shuffle");
        Planted.ForgetError();
    }

    protected static Target Into(Ptr p) => new(p, false);

    protected static Target AddTo(Ptr p) => new(p, true);
}

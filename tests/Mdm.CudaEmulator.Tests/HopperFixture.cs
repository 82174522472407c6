using Mdm.Kernels.Cuda;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Tests on a GPU with Hopper's instructions: an emulated one of capability 9.0, or the machine's own.</summary>
[NonParallelizable] // the capability is that of all devices opened meanwhile
public abstract class HopperFixture
{
    private protected CudaDevice device = null!;
    private protected CudaKernels kernels = null!;

    [OneTimeSetUp]
    public void OpenHopper()
    {
        Planted.SetCapability(90);
        device = CudaDevice.Open(0);
        if (!device.Properties.HopperInstructions)
            Assert.Ignore($"{device.Description} does not have Hopper's instructions");
        kernels = (CudaKernels)device.Kernels;
    }

    [OneTimeTearDown]
    public void Close()
    {
        device.Dispose();
        Planted.SetCapability(80);
    }

    [TearDown]
    public void ForgetError() => Planted.ForgetError();
}

using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Cuda;

/// <summary>What launches depend on.</summary>
/// <param name="Name">E.g. <c>NVIDIA H100 80GB HBM3</c>.</param>
/// <param name="Capability">10·major + minor.</param>
/// <param name="Multiprocessors">Blocks run on so many.</param>
/// <param name="SharedPerBlock">Largest dynamic shared memory of a block, bytes.</param>
/// <param name="SharedPerMultiprocessor">Bytes.</param>
/// <param name="TotalMemory">Bytes.</param>
/// <param name="L2Bytes">Second-level cache.</param>
internal sealed record CudaProperties(string Name, int Capability, int Multiprocessors, int SharedPerBlock,
    int SharedPerMultiprocessor, long TotalMemory, int L2Bytes)
{
    /// <summary>Whether modules that need capability 90 (wgmma, TMA: <c>sm_90a</c>) can be compiled and run: a Hopper GPU and
    /// NVRTC 12 or later.</summary>
    public bool HopperInstructions { get; init; }

    /// <summary>Largest numbers of blocks in a grid.</summary>
    public required Dim3 MaxGrid { get; init; }

    /// <summary>Largest sizes of a block.</summary>
    public required Dim3 MaxBlock { get; init; }

    /// <summary>Asks the driver.</summary>
    /// <param name="driver">The driver, initialised.</param>
    /// <param name="device">CUdevice.</param>
    public static unsafe CudaProperties Of(CudaDriver driver, int device)
    {
        byte* name = stackalloc byte[256];
        driver.Check(driver.DeviceGetName(name, 256, device), "cuDeviceGetName");
        nuint total;
        driver.Check(driver.DeviceTotalMem(&total, device), "cuDeviceTotalMem");
        int Value(CudaAttribute attribute) => driver.Attribute(attribute, device);
        return new CudaProperties(
            new string((sbyte*)name),
            10 * Value(CudaAttribute.CapabilityMajor) + Value(CudaAttribute.CapabilityMinor),
            Value(CudaAttribute.MultiprocessorCount),
            Value(CudaAttribute.SharedPerBlockOptIn),
            Value(CudaAttribute.SharedPerMultiprocessor),
            (long)total,
            Value(CudaAttribute.L2CacheSize))
        {
            MaxGrid = new Dim3(Value(CudaAttribute.MaxGridX), Value(CudaAttribute.MaxGridY), Value(CudaAttribute.MaxGridZ)),
            MaxBlock = new Dim3(Value(CudaAttribute.MaxBlockX), Value(CudaAttribute.MaxBlockY), Value(CudaAttribute.MaxBlockZ)),
        };
    }
}

using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Model.Configuration;
using Mdm.Tensors;

namespace Mdm.Cli;

/// <summary>Opens the device that a configuration names.</summary>
internal static class DeviceChoice
{
    public static IDevice Open(ProgramConfig config)
    {
        if (config.Threads > 0)
            CpuThreads.Count = config.Threads;
        if (config.Multinode)
            Terminal.Warn("multinode is not supported yet; this machine works alone");
        IDevice device = Devices.Open(config.Device);
        if (config.Fp16)
            Terminal.Warn($"fp16: {device.Name} computes in float32, which is at least as exact");
        return device;
    }
}

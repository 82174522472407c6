using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Kernels.Cuda;
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
        return Open(config.Device, config.Kernels);
    }

    /// <summary>Opens a device by its name, its kernels compiled and chosen.</summary>
    public static IDevice Open(string name, string kernels)
    {
        IDevice device = Devices.Open(name);
        Prepare(device);
        ChooseKernels(device, kernels);
        return device;
    }

    /// <summary>Says which kernels compute; a note tells where measuring takes time.</summary>
    private static void ChooseKernels(IDevice device, string kernels)
    {
        const int every = 20;
        Devices.ChooseKernels(device, kernels, Terminal.Warn, count =>
        {
            if (count % every == 1)
                Terminal.Note($"{device.Name}: measuring products: {count} {(count == 1 ? "shape" : "shapes")}, once for each");
        });
    }

    /// <summary>A checkpoint that was trained in bfloat16 is drawn in float32 where the device has nothing else, unless the
    /// command line asks for fp16.</summary>
    public static void FitPrecision(ProgramConfig config, IDevice device, IReadOnlyList<string> overrides)
    {
        bool asked = overrides.Any(option => option.StartsWith("--fp16=", StringComparison.Ordinal));
        if (config.Fp16 && !asked && !device.Supports(DType.BFloat16))
        {
            Terminal.Warn($"fp16: the device {device.Name} draws in float32 what was trained in bfloat16");
            config.Fp16 = false;
        }
    }

    /// <summary>Compiles a GPU's kernels before the work begins, which is needed once on a machine.</summary>
    private static void Prepare(IDevice device)
    {
        if (device is not CudaDevice cuda || cuda.KernelsToCompile is not (> 0 and var count))
            return;
        Terminal.Note($"{device.Name}: compiling {count} kernel files, which is needed once");
        Progress.Bar("compiling kernels", report =>
        {
            cuda.CompileKernels((done, all, _) => report((double)done / all));
            return count;
        });
    }
}

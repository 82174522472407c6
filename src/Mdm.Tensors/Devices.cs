using System.Collections.Concurrent;
using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Kernels.Cuda;

namespace Mdm.Tensors;

/// <summary>Finds devices by the names that users write. This is the one place that knows which kinds there are.</summary>
public static class Devices
{
    private static readonly ConcurrentDictionary<string, Lazy<IDevice>> s_open = new();

    /// <summary>What users may write, for messages and help.</summary>
    public const string Names = "auto, cpu, cuda or cuda:N";

    /// <summary>Whether a name is written as one of <see cref="Names"/>; the device need not be there.</summary>
    public static bool IsName(string name) => name is "auto" or "cpu" or "cuda"
        || (name.StartsWith("cuda:", StringComparison.Ordinal) && int.TryParse(name.AsSpan(5), out int index) && index >= 0);

    /// <summary>The device of that name; one object per device and process. <c>auto</c> is the first GPU if it can be used,
    /// else the CPU.</summary>
    /// <exception cref="MdmException">No such device, or it cannot be used.</exception>
    public static IDevice Open(string name) =>
        s_open.GetOrAdd(KeyOf(name), key => new Lazy<IDevice>(() => key switch
        {
            "cpu" => new CpuDevice(),
            _ when IsName(key) => CudaDevice.Open(int.Parse(key.AsSpan("cuda:".Length))),
            _ => throw new MdmException($"device '{name}' is not known, expected {Names}"),
        })).Value;

    /// <summary>What users may write for <see cref="ChooseKernels"/>.</summary>
    public const string KernelNames = "own, library or auto";

    /// <summary>Says which kernels a device computes products and convolutions with.</summary>
    /// <param name="device">Of <see cref="Open"/>.</param>
    /// <param name="kernels">One of <see cref="KernelNames"/>.</param>
    /// <param name="warn">Told of libraries that are wanted and not there.</param>
    /// <param name="measured">Told, after each shape whose fastest kernel had to be measured, how many those were.</param>
    /// <exception cref="MdmException">Another word.</exception>
    public static void ChooseKernels(IDevice device, string kernels, Action<string> warn, Action<int>? measured = null)
    {
        KernelChoice choice = kernels.Trim().ToLowerInvariant() switch
        {
            "own" => KernelChoice.Own,
            "library" => KernelChoice.Library,
            "auto" => KernelChoice.Auto,
            _ => throw new MdmException($"kernels '{kernels}' are not known, expected {KernelNames}"),
        };
        if (device is not CudaDevice cuda)
        {
            if (choice == KernelChoice.Library)
                warn($"kernels library: the device {device.Name} computes with its own kernels");
            return;
        }

        cuda.KernelChoice = choice;
        cuda.Measured = measured;
        if (choice == KernelChoice.Library && cuda.MissingLibraries is { } missing)
            warn($"kernels library: there is no {missing}; the program's own kernels compute instead");
    }

    /// <summary>What a run's activations are computed in: bfloat16 for <c>fp16: 1</c>, else float32.</summary>
    /// <exception cref="MdmException">The device does not compute in bfloat16.</exception>
    public static DType ComputeType(IDevice device, bool fp16)
    {
        DType type = fp16 ? DType.BFloat16 : DType.Float32;
        return device.Supports(type)
            ? type
            : throw new MdmException(
                $"fp16: the device {device.Name} computes in float32 only; leave fp16 out or use --device cuda");
    }

    /// <summary>What to do where the weights alone do not fit.</summary>
    public static string RoomForWeights(IDevice device, DType type) => type == DType.Float32 && device.Supports(DType.BFloat16)
        ? "--fp16 halves them; else end other programs or use a device with more memory"
        : "end other programs or use a device with more memory";

    private static string KeyOf(string name) => name.Trim().ToLowerInvariant() switch
    {
        "auto" => CudaDevice.WhyNot(0) == null ? "cuda:0" : "cpu",
        "cuda" => "cuda:0",
        var key => key,
    };
}

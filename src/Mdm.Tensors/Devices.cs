using System.Collections.Concurrent;
using Mdm.Kernels;
using Mdm.Kernels.Cpu;

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

    /// <summary>The device of that name, the best there is for <c>auto</c>; one object per device and process.</summary>
    /// <exception cref="MdmException">No such device.</exception>
    public static IDevice Open(string name) =>
        s_open.GetOrAdd(KeyOf(name), key => new Lazy<IDevice>(() => key switch
        {
            "cpu" => new CpuDevice(),
            _ when key == "cuda" || key.StartsWith("cuda:", StringComparison.Ordinal) => throw new MdmException(
                $"device '{name}': this version computes on the CPU only; set device to cpu or auto"),
            _ => throw new MdmException($"device '{name}' is not known, expected {Names}"),
        })).Value;

    private static string KeyOf(string name)
    {
        string key = name.Trim().ToLowerInvariant();
        return key == "auto" ? "cpu" : key;
    }
}

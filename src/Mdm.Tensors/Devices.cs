using System.Collections.Concurrent;
using Mdm.Kernels;
using Mdm.Kernels.Cpu;

namespace Mdm.Tensors;

/// <summary>Finds devices by the names that users write. This is the one place that knows which kinds there are.</summary>
public static class Devices
{
    private static readonly ConcurrentDictionary<string, Lazy<IDevice>> s_open = new();

    /// <summary>The names that <see cref="Open"/> understands, for messages and help.</summary>
    public const string Names = "cpu";

    /// <summary>The device of that name; one object per name and process.</summary>
    /// <exception cref="MdmException">No such device.</exception>
    public static IDevice Open(string name) =>
        s_open.GetOrAdd(name.Trim().ToLowerInvariant(), key => new Lazy<IDevice>(() => key switch
        {
            "cpu" => new CpuDevice(),
            _ when key == "cuda" || key.StartsWith("cuda:", StringComparison.Ordinal) => throw new MdmException(
                $"device '{name}': this version computes on the CPU only; set device to cpu or auto"),
            _ => throw new MdmException($"device '{name}' is not known, expected one of: {Names}"),
        })).Value;
}

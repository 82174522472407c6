using System.Collections.Concurrent;
using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Cuda;

/// <summary>A kernel on the device.</summary>
/// <param name="Handle">CUfunction.</param>
/// <param name="MaxThreads">Most threads of a block, given the registers that it needs.</param>
/// <param name="StaticShared">Bytes of shared memory beside those of the launch.</param>
internal sealed record LoadedKernel(nint Handle, int MaxThreads, int StaticShared)
{
    /// <summary>Dynamic shared memory that it may use now; more must be asked for.</summary>
    public int DynamicShared { get; set; }
}

/// <summary>Modules and kernels on a device, each loaded at its first use.</summary>
internal sealed unsafe class KernelLoader(CudaDriver driver, Func<KernelModule, byte[]> compile) : IDisposable
{
    /// <summary>Dynamic shared memory that every kernel may use without asking.</summary>
    private const int PlainShared = 48 * 1024;

    private readonly ConcurrentDictionary<KernelId, LoadedKernel> kernels = new();
    private readonly Dictionary<KernelModule, nint> modules = [];
    private readonly Lock gate = new();

    /// <summary>The kernel, compiled and loaded if this is its first use. The context must be current.</summary>
    public LoadedKernel this[in KernelId id] => kernels.TryGetValue(id, out LoadedKernel? kernel) ? kernel : Load(id);

    /// <summary>Unloads everything. The context must be current and the device idle.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            kernels.Clear();
            foreach (nint module in modules.Values)
                _ = driver.ModuleUnload(module);
            modules.Clear();
        }
    }

    private LoadedKernel Load(KernelId id)
    {
        lock (gate)
        {
            if (kernels.TryGetValue(id, out LoadedKernel? known))
                return known;
            if (!modules.TryGetValue(id.Module, out nint module))
            {
                module = LoadModule(id.Module);
                modules.Add(id.Module, module);
            }

            nint function;
            using (var name = new CStrings([id.Name]))
            {
                int code = driver.ModuleGetFunction(&function, module, name[0]);
                if (code != CudaCode.Success)
                    throw new CudaException(code, $"{id.Module.File} ({id.Module.Defines}) has no kernel {id.Name}: {driver.Words(code)}");
            }

            int shared = Attribute(FunctionAttribute.StaticShared, function);
            var kernel = new LoadedKernel(function, Attribute(FunctionAttribute.MaxThreadsPerBlock, function), shared)
            {
                DynamicShared = Math.Max(0, PlainShared - shared),
            };
            kernels[id] = kernel;
            return kernel;
        }
    }

    private int Attribute(FunctionAttribute attribute, nint function)
    {
        int value;
        driver.Check(driver.FunctionGetAttribute(&value, (int)attribute, function), "cuFuncGetAttribute");
        return value;
    }

    private nint LoadModule(KernelModule module)
    {
        nint handle;
        fixed (byte* image = compile(module))
        {
            int code = driver.ModuleLoadData(&handle, image);
            if (code != CudaCode.Success)
                throw new CudaException(code, $"CUDA: loading {module.File} ({module.Defines}) failed with {driver.Words(code)}");
        }

        return handle;
    }
}

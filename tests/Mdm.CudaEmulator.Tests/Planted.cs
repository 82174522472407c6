using System.Runtime.InteropServices;
using System.Text;
using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Native;

namespace Mdm.CudaEmulator.Tests;

/// <summary>A small kernel source on the emulator, without the program's device around it.</summary>
internal sealed unsafe class Planted : IDisposable
{
    public const string File = "planted.cu";

    private readonly Func<byte[]> compile;
    private nint module;

    /// <param name="source">Kernels; the shared headers are included before them.</param>
    /// <param name="options">Of the compiler.</param>
    public Planted(string source, params string[] options)
    {
        Driver.Check(Driver.Init(0), "cuInit");
        nint context, created;
        Driver.Check(Driver.PrimaryContextRetain(&context, 0), "cuDevicePrimaryCtxRetain");
        Driver.Check(Driver.StreamCreate(&created, 1), "cuStreamCreate");
        Stream = created;
        compile = () =>
        {
            CompilerOutput output = CudaLibraries.Nvrtc!.Compile(
                new SourceText(File, "#include \"reduce.cuh\"\n#line 1\n" + source), new KernelSources(null).Headers,
                ["--gpu-architecture=sm_80", .. options], ptx: false);
            Assert.That(output.Log, Is.Empty);
            return output.Binary!;
        };
    }

    public static CudaDriver Driver => CudaLibraries.Driver!;

    public nint Stream { get; }

    /// <summary>What the emulator said last.</summary>
    public static string Message =>
        Marshal.PtrToStringUTF8(((delegate* unmanaged<nint>)Symbol("mdmEmulatorLastMessage"))()) ?? "";

    public static int LiveAllocations => ((delegate* unmanaged<int>)Symbol("mdmEmulatorLiveAllocations"))();

    public static void ForgetError()
    {
        if (!EmulatorSetUp.OnGpu)
            ((delegate* unmanaged<int>)Symbol("mdmEmulatorForgetError"))();
    }

    /// <summary>Order of threads and blocks: forward, reverse, shuffle:SEED.</summary>
    public static void SetOrder(string order)
    {
        if (EmulatorSetUp.OnGpu)
            return;
        fixed (byte* text = Encoding.UTF8.GetBytes(order + '\0'))
            ((delegate* unmanaged<byte*, int>)Symbol("mdmEmulatorSetOrder"))(text);
    }

    /// <summary>Compute capability, as 10·major + minor, of devices that are opened from now on.</summary>
    public static void SetCapability(int capability)
    {
        if (!EmulatorSetUp.OnGpu)
            ((delegate* unmanaged<int, int>)Symbol("mdmEmulatorSetCapability"))(capability);
    }

    /// <summary>Whether every access to memory is checked: for kernels and memory from now on. For kernels that are not kept
    /// in a cache.</summary>
    public static void SetCheck(bool check) => ((delegate* unmanaged<int, int>)Symbol("mdmEmulatorSetCheck"))(check ? 1 : 0);

    /// <summary>Seconds that a grid may run.</summary>
    public static void SetTimeout(int seconds) => ((delegate* unmanaged<int, int>)Symbol("mdmEmulatorSetTimeout"))(seconds);

    /// <summary>Launches a kernel without waiting for it.</summary>
    /// <returns>CUresult.</returns>
    public int Queue(string kernel, Dim3 grid, Dim3 block, int shared, params ReadOnlySpan<Arg> arguments)
    {
        nint function = Function(kernel);
        void** values = stackalloc void*[Math.Max(1, arguments.Length)];
        fixed (Arg* first = arguments)
        {
            for (int i = 0; i < arguments.Length; i++)
                values[i] = first[i].Structure != 0 ? (void*)first[i].Structure : &first[i];
            return Driver.LaunchKernel(function, (uint)grid.X, (uint)grid.Y, (uint)grid.Z, (uint)block.X, (uint)block.Y,
                (uint)block.Z, (uint)shared, Stream, values, null);
        }
    }

    /// <summary>Launches a kernel and waits.</summary>
    /// <returns>CUresult of the launch, or of the wait if that succeeded.</returns>
    public int Launch(string kernel, Dim3 grid, Dim3 block, int shared, params ReadOnlySpan<Arg> arguments)
    {
        int code = Queue(kernel, grid, block, shared, arguments);
        return code != 0 ? code : Driver.StreamSynchronize(Stream);
    }

    public nint Function(string kernel)
    {
        nint function;
        if (module == 0)
        {
            nint loaded;
            fixed (byte* image = compile())
                Driver.Check(Driver.ModuleLoadData(&loaded, image), "cuModuleLoadData");
            module = loaded;
        }

        fixed (byte* name = Encoding.UTF8.GetBytes(kernel + '\0'))
            Driver.Check(Driver.ModuleGetFunction(&function, module, name), "cuModuleGetFunction");
        return function;
    }

    public static nint Allocate(int bytes)
    {
        nint address;
        Driver.Check(Driver.MemAlloc(&address, (nuint)bytes), "cuMemAlloc");
        return address;
    }

    public nint Upload<T>(T[] values)
        where T : unmanaged
    {
        nint address = Allocate(values.Length * sizeof(T));
        fixed (T* source = values)
            Driver.Check(
                Driver.MemcpyHostToDevice(address, source, (nuint)(values.Length * sizeof(T)), Stream), "cuMemcpyHtoDAsync");
        return address;
    }

    public float[] Download(nint address, int count)
    {
        float[] values = new float[count];
        fixed (float* target = values)
            Driver.Check(Driver.MemcpyDeviceToHost(target, address, (nuint)count * 4, Stream), "cuMemcpyDtoHAsync");
        return values;
    }

    public void Dispose()
    {
        ForgetError();
        if (module != 0)
            _ = Driver.ModuleUnload(module);
        _ = Driver.StreamDestroy(Stream);
        _ = Driver.PrimaryContextRelease(0);
    }

    private static nint Symbol(string name) => NativeLibrary.GetExport(
        NativeLibrary.Load(Environment.GetEnvironmentVariable(CudaLibraries.EmulatorVariable)!), name);
}

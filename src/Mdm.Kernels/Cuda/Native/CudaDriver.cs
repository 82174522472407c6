using System.Runtime.InteropServices;
using System.Text;

namespace Mdm.Kernels.Cuda.Native;

/// <summary>The functions of the CUDA driver that the program uses, by the names that the library exports. This is the whole
/// list: whoever stands in for the driver (the emulator) needs no more.</summary>
internal sealed unsafe class CudaDriver
{
    public readonly delegate* unmanaged<uint, int> Init;
    public readonly delegate* unmanaged<int*, int> DriverGetVersion;
    public readonly delegate* unmanaged<int*, int> DeviceGetCount;
    public readonly delegate* unmanaged<int*, int, int> DeviceGet;
    public readonly delegate* unmanaged<byte*, int, int, int> DeviceGetName;
    public readonly delegate* unmanaged<int*, int, int, int> DeviceGetAttribute;
    public readonly delegate* unmanaged<nuint*, int, int> DeviceTotalMem;
    public readonly delegate* unmanaged<nint*, int, int> PrimaryContextRetain;
    public readonly delegate* unmanaged<int, int> PrimaryContextRelease;
    public readonly delegate* unmanaged<nint, int> ContextSetCurrent;
    public readonly delegate* unmanaged<nuint*, nuint*, int> MemGetInfo;
    public readonly delegate* unmanaged<nint*, nuint, int> MemAlloc;
    public readonly delegate* unmanaged<nint, int> MemFree;
    public readonly delegate* unmanaged<nint*, nuint, uint, int> MemHostAlloc;
    public readonly delegate* unmanaged<nint, int> MemFreeHost;
    public readonly delegate* unmanaged<nint, void*, nuint, nint, int> MemcpyHostToDevice;
    public readonly delegate* unmanaged<void*, nint, nuint, nint, int> MemcpyDeviceToHost;
    public readonly delegate* unmanaged<nint, nint, nuint, nint, int> MemcpyDeviceToDevice;
    public readonly delegate* unmanaged<nint, byte, nuint, nint, int> MemsetBytes;
    public readonly delegate* unmanaged<nint*, uint, int> StreamCreate;
    public readonly delegate* unmanaged<nint, int> StreamSynchronize;
    public readonly delegate* unmanaged<nint, int> StreamDestroy;
    public readonly delegate* unmanaged<nint, nint, uint, int> StreamWaitEvent;
    public readonly delegate* unmanaged<nint, int, int> StreamBeginCapture;
    public readonly delegate* unmanaged<nint, nint*, int> StreamEndCapture;
    public readonly delegate* unmanaged<nint*, nint, ulong, int> GraphInstantiate;
    public readonly delegate* unmanaged<nint, nint, int> GraphLaunch;
    public readonly delegate* unmanaged<nint, int> GraphExecDestroy;
    public readonly delegate* unmanaged<nint, int> GraphDestroy;
    public readonly delegate* unmanaged<nint*, uint, int> EventCreate;
    public readonly delegate* unmanaged<nint, nint, int> EventRecord;
    public readonly delegate* unmanaged<nint, int> EventSynchronize;
    public readonly delegate* unmanaged<nint, int> EventQuery;
    public readonly delegate* unmanaged<float*, nint, nint, int> EventElapsedTime;
    public readonly delegate* unmanaged<nint, int> EventDestroy;
    public readonly delegate* unmanaged<nint*, void*, int> ModuleLoadData;
    public readonly delegate* unmanaged<nint, int> ModuleUnload;
    public readonly delegate* unmanaged<nint*, nint, byte*, int> ModuleGetFunction;
    public readonly delegate* unmanaged<nint, int, int, int> FunctionSetAttribute;
    public readonly delegate* unmanaged<int*, int, nint, int> FunctionGetAttribute;
    public readonly delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int> LaunchKernel;

    /// <summary>Null in drivers before CUDA 12.</summary>
    public readonly delegate* unmanaged<void*, int, uint, nint, ulong*, ulong*, uint*, uint*, int, int, int, int, int>
        TensorMapEncodeTiled;

    private readonly delegate* unmanaged<int, byte**, int> GetErrorName;
    private readonly delegate* unmanaged<int, byte**, int> GetErrorString;

    /// <exception cref="MdmException">The library lacks a function: the driver is too old.</exception>
    public CudaDriver(LoadedLibrary library)
    {
        Library = library;
        Init = (delegate* unmanaged<uint, int>)library.Function("cuInit");
        DriverGetVersion = (delegate* unmanaged<int*, int>)library.Function("cuDriverGetVersion");
        DeviceGetCount = (delegate* unmanaged<int*, int>)library.Function("cuDeviceGetCount");
        DeviceGet = (delegate* unmanaged<int*, int, int>)library.Function("cuDeviceGet");
        DeviceGetName = (delegate* unmanaged<byte*, int, int, int>)library.Function("cuDeviceGetName");
        DeviceGetAttribute = (delegate* unmanaged<int*, int, int, int>)library.Function("cuDeviceGetAttribute");
        DeviceTotalMem = (delegate* unmanaged<nuint*, int, int>)library.Function("cuDeviceTotalMem_v2");
        PrimaryContextRetain = (delegate* unmanaged<nint*, int, int>)library.Function("cuDevicePrimaryCtxRetain");
        PrimaryContextRelease = (delegate* unmanaged<int, int>)library.Function("cuDevicePrimaryCtxRelease_v2");
        ContextSetCurrent = (delegate* unmanaged<nint, int>)library.Function("cuCtxSetCurrent");
        MemGetInfo = (delegate* unmanaged<nuint*, nuint*, int>)library.Function("cuMemGetInfo_v2");
        MemAlloc = (delegate* unmanaged<nint*, nuint, int>)library.Function("cuMemAlloc_v2");
        MemFree = (delegate* unmanaged<nint, int>)library.Function("cuMemFree_v2");
        MemHostAlloc = (delegate* unmanaged<nint*, nuint, uint, int>)library.Function("cuMemHostAlloc");
        MemFreeHost = (delegate* unmanaged<nint, int>)library.Function("cuMemFreeHost");
        MemcpyHostToDevice = (delegate* unmanaged<nint, void*, nuint, nint, int>)library.Function("cuMemcpyHtoDAsync_v2");
        MemcpyDeviceToHost = (delegate* unmanaged<void*, nint, nuint, nint, int>)library.Function("cuMemcpyDtoHAsync_v2");
        MemcpyDeviceToDevice = (delegate* unmanaged<nint, nint, nuint, nint, int>)library.Function("cuMemcpyDtoDAsync_v2");
        MemsetBytes = (delegate* unmanaged<nint, byte, nuint, nint, int>)library.Function("cuMemsetD8Async");
        StreamCreate = (delegate* unmanaged<nint*, uint, int>)library.Function("cuStreamCreate");
        StreamSynchronize = (delegate* unmanaged<nint, int>)library.Function("cuStreamSynchronize");
        StreamDestroy = (delegate* unmanaged<nint, int>)library.Function("cuStreamDestroy_v2");
        StreamWaitEvent = (delegate* unmanaged<nint, nint, uint, int>)library.Function("cuStreamWaitEvent");
        StreamBeginCapture = (delegate* unmanaged<nint, int, int>)library.Function("cuStreamBeginCapture_v2");
        StreamEndCapture = (delegate* unmanaged<nint, nint*, int>)library.Function("cuStreamEndCapture");
        GraphInstantiate = (delegate* unmanaged<nint*, nint, ulong, int>)library.Function("cuGraphInstantiateWithFlags");
        GraphLaunch = (delegate* unmanaged<nint, nint, int>)library.Function("cuGraphLaunch");
        GraphExecDestroy = (delegate* unmanaged<nint, int>)library.Function("cuGraphExecDestroy");
        GraphDestroy = (delegate* unmanaged<nint, int>)library.Function("cuGraphDestroy");
        EventCreate = (delegate* unmanaged<nint*, uint, int>)library.Function("cuEventCreate");
        EventRecord = (delegate* unmanaged<nint, nint, int>)library.Function("cuEventRecord");
        EventSynchronize = (delegate* unmanaged<nint, int>)library.Function("cuEventSynchronize");
        EventQuery = (delegate* unmanaged<nint, int>)library.Function("cuEventQuery");
        EventElapsedTime = (delegate* unmanaged<float*, nint, nint, int>)library.Function("cuEventElapsedTime");
        EventDestroy = (delegate* unmanaged<nint, int>)library.Function("cuEventDestroy_v2");
        ModuleLoadData = (delegate* unmanaged<nint*, void*, int>)library.Function("cuModuleLoadData");
        ModuleUnload = (delegate* unmanaged<nint, int>)library.Function("cuModuleUnload");
        ModuleGetFunction = (delegate* unmanaged<nint*, nint, byte*, int>)library.Function("cuModuleGetFunction");
        FunctionSetAttribute = (delegate* unmanaged<nint, int, int, int>)library.Function("cuFuncSetAttribute");
        FunctionGetAttribute = (delegate* unmanaged<int*, int, nint, int>)library.Function("cuFuncGetAttribute");
        LaunchKernel = (delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int>)
            library.Function("cuLaunchKernel");
        TensorMapEncodeTiled =
            (delegate* unmanaged<void*, int, uint, nint, ulong*, ulong*, uint*, uint*, int, int, int, int, int>)
            library.FunctionIfThere("cuTensorMapEncodeTiled");
        GetErrorName = (delegate* unmanaged<int, byte**, int>)library.Function("cuGetErrorName");
        GetErrorString = (delegate* unmanaged<int, byte**, int>)library.Function("cuGetErrorString");
    }

    public LoadedLibrary Library { get; }

    /// <summary>E.g. <c>CUDA_ERROR_INVALID_VALUE (invalid argument)</c>.</summary>
    public string Words(int code)
    {
        byte* name = null, text = null;
        _ = GetErrorName(code, &name);
        _ = GetErrorString(code, &text);
        return name == null ? $"error {code}" : $"{Utf8(name)} ({Utf8(text)})";
    }

    /// <summary>Throws unless a call succeeded.</summary>
    /// <param name="code">What the call returned.</param>
    /// <param name="call">The function, for the message.</param>
    /// <exception cref="CudaException">The code is not 0.</exception>
    public void Check(int code, string call)
    {
        if (code != CudaCode.Success)
            throw new CudaException(code, $"CUDA: {call} failed with {Words(code)}");
    }

    public int Attribute(CudaAttribute attribute, int device)
    {
        int value;
        Check(DeviceGetAttribute(&value, (int)attribute, device), nameof(DeviceGetAttribute));
        return value;
    }

    private static string Utf8(byte* text) =>
        text == null ? "" : Encoding.UTF8.GetString(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(text));
}

/// <summary>CUresult, as far as the program tells codes apart.</summary>
internal static class CudaCode
{
    public const int Success = 0;
    public const int OutOfMemory = 2;
    public const int StubLibrary = 34;
    public const int NoDevice = 100;
    public const int NoBinaryForGpu = 209;
    public const int InvalidPtx = 218;
    public const int UnsupportedPtxVersion = 222;
    public const int InvalidImage = 200;
    public const int NotReady = 600;
}

/// <summary>CUdevice_attribute.</summary>
internal enum CudaAttribute
{
    MaxThreadsPerBlock = 1,
    MaxBlockX = 2,
    MaxBlockY = 3,
    MaxBlockZ = 4,
    MaxGridX = 5,
    MaxGridY = 6,
    MaxGridZ = 7,
    MultiprocessorCount = 16,
    L2CacheSize = 38,
    CapabilityMajor = 75,
    CapabilityMinor = 76,
    SharedPerMultiprocessor = 81,
    SharedPerBlockOptIn = 97,
}

/// <summary>CUfunction_attribute.</summary>
internal enum FunctionAttribute
{
    MaxThreadsPerBlock = 0,
    StaticShared = 1,
    LocalBytes = 3,
    Registers = 4,
    MaxDynamicShared = 8,
}

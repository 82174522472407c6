using System.Runtime.InteropServices;
using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Libraries;

/// <summary>The functions of cuDNN 9 that are used here: its graph API, called by its C names.</summary>
internal sealed unsafe class CudnnApi
{
    private readonly delegate* unmanaged<int, byte*> getErrorString;

    /// <exception cref="MdmException">The library lacks a function.</exception>
    public CudnnApi(LoadedLibrary library)
    {
        nint Function(string name) => library.FunctionIfThere(name) is var address and not 0
            ? address
            : throw new MdmException($"{library.Name}: it has no function {name}, expected cuDNN 9");

        getErrorString = (delegate* unmanaged<int, byte*>)Function("cudnnGetErrorString");
        Create = (delegate* unmanaged<nint*, int>)Function("cudnnCreate");
        Destroy = (delegate* unmanaged<nint, int>)Function("cudnnDestroy");
        SetStream = (delegate* unmanaged<nint, nint, int>)Function("cudnnSetStream");
        CreateDescriptor = (delegate* unmanaged<int, nint*, int>)Function("cudnnBackendCreateDescriptor");
        DestroyDescriptor = (delegate* unmanaged<nint, int>)Function("cudnnBackendDestroyDescriptor");
        SetAttribute = (delegate* unmanaged<nint, int, int, long, void*, int>)Function("cudnnBackendSetAttribute");
        GetAttribute = (delegate* unmanaged<nint, int, int, long, long*, void*, int>)Function("cudnnBackendGetAttribute");
        FinalizeDescriptor = (delegate* unmanaged<nint, int>)Function("cudnnBackendFinalize");
        Execute = (delegate* unmanaged<nint, nint, nint, int>)Function("cudnnBackendExecute");
    }

    /// <summary>(handle)</summary>
    public delegate* unmanaged<nint*, int> Create { get; }

    /// <summary>(handle)</summary>
    public delegate* unmanaged<nint, int> Destroy { get; }

    /// <summary>(handle, stream)</summary>
    public delegate* unmanaged<nint, nint, int> SetStream { get; }

    /// <summary>(kind, descriptor)</summary>
    public delegate* unmanaged<int, nint*, int> CreateDescriptor { get; }

    /// <summary>(descriptor)</summary>
    public delegate* unmanaged<nint, int> DestroyDescriptor { get; }

    /// <summary>(descriptor, attribute, type, count, values)</summary>
    public delegate* unmanaged<nint, int, int, long, void*, int> SetAttribute { get; }

    /// <summary>(descriptor, attribute, type, room, count, values)</summary>
    public delegate* unmanaged<nint, int, int, long, long*, void*, int> GetAttribute { get; }

    /// <summary>(descriptor)</summary>
    public delegate* unmanaged<nint, int> FinalizeDescriptor { get; }

    /// <summary>(handle, plan, variant pack)</summary>
    public delegate* unmanaged<nint, nint, nint, int> Execute { get; }

    /// <exception cref="CudnnException">The code is not that of success.</exception>
    public void Check(int code, string call)
    {
        if (code != 0)
        {
            string words = Marshal.PtrToStringUTF8((nint)getErrorString(code)) ?? "";
            throw new CudnnException(code, $"cuDNN: {call} failed with {words} ({code})");
        }
    }
}

/// <summary>A call of cuDNN failed, or it has no engine for something.</summary>
/// <param name="code">cudnnStatus_t.</param>
/// <param name="message">Names the call.</param>
internal sealed class CudnnException(int code, string message) : MdmException(message)
{
    /// <summary>Whether the library cannot do it, and has done nothing.</summary>
    public bool IsUnsupported => code is >= 3000 and < 4000;
}

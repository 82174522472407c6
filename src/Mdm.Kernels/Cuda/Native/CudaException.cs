namespace Mdm.Kernels.Cuda.Native;

/// <summary>A call of the driver or of NVRTC failed in a way that the user cannot be blamed for.</summary>
internal sealed class CudaException : Exception
{
    public CudaException(int code, string message, Exception? inner = null)
        : base(message, inner) => Code = code;

    /// <summary>CUresult or nvrtcResult.</summary>
    public int Code { get; }
}

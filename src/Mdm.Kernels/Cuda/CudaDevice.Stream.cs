using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Cuda;

/// <summary>What is queued on the stream: launches and copies.</summary>
public sealed unsafe partial class CudaDevice
{
    private const int MaxArguments = 64;

    public void Upload(ReadOnlySpan<byte> source, nint destination)
    {
        MakeCurrent();
        lock (streamGate)
        {
            RequireNoCapture("an upload");
            uploads.Upload(source, destination);
        }
    }

    public void Download(nint source, Span<byte> destination)
    {
        MakeCurrent();
        lock (streamGate)
            RequireNoCapture("a download");
        downloads.Download(source, destination);
    }

    public void Synchronize()
    {
        MakeCurrent();
        lock (streamGate)
        {
            RequireNoCapture("waiting");
            Check(driver.StreamSynchronize(stream), "cuStreamSynchronize");
        }
    }

    /// <summary>Queues a kernel.</summary>
    /// <param name="kernel">Which; compiled or taken from the cache at its first use.</param>
    /// <param name="grid">Blocks.</param>
    /// <param name="block">Threads of a block.</param>
    /// <param name="sharedBytes">Dynamic shared memory; above 48 KB it is asked for by itself.</param>
    /// <param name="arguments">In the order of the kernel's parameters.</param>
    /// <exception cref="ArgumentException">The launch is over a limit of the GPU or the kernel.</exception>
    internal void Launch(in KernelId kernel, Dim3 grid, Dim3 block, int sharedBytes, params ReadOnlySpan<Arg> arguments)
    {
        MakeCurrent();
        LoadedKernel loaded = loader[kernel];
        if (sharedBytes > loaded.DynamicShared)
            RaiseShared(kernel, loaded, sharedBytes);
        // Grid sizes of the last two dimensions are the ones that are exceeded in practice.
        if (grid.X <= 0 || grid.Y <= 0 || grid.Z <= 0 || grid.Y > Properties.MaxGrid.Y || grid.Z > Properties.MaxGrid.Z
            || block.X <= 0 || block.Y <= 0 || block.Z <= 0 || (long)block.X * block.Y * block.Z > loaded.MaxThreads
            || block.Z > Properties.MaxBlock.Z)
            throw OverLimit(kernel, grid, block, sharedBytes, loaded);
        if (arguments.Length > MaxArguments)
            throw new ArgumentException($"{kernel.Name}: {arguments.Length} arguments, expected {MaxArguments} at most");

        void** values = stackalloc void*[MaxArguments];
        fixed (Arg* first = arguments)
        {
            for (int i = 0; i < arguments.Length; i++)
                values[i] = first[i].Structure != 0 ? (void*)first[i].Structure : &first[i];
            int code;
            lock (streamGate)
            {
                code = driver.LaunchKernel(loaded.Handle, (uint)grid.X, (uint)grid.Y, (uint)grid.Z,
                    (uint)block.X, (uint)block.Y, (uint)block.Z, (uint)sharedBytes, stream, values, null);
            }

            if (code != CudaCode.Success)
                throw LaunchFailure("cuLaunchKernel", code, kernel, grid, block, sharedBytes);
        }

        if (synchronous)
        {
            int code = driver.StreamSynchronize(stream);
            if (code != CudaCode.Success)
                throw LaunchFailure("running", code, kernel, grid, block, sharedBytes);
        }
    }

    /// <summary>Compiles and loads a kernel ahead of its first launch.</summary>
    /// <exception cref="MdmException">Its source has errors.</exception>
    internal void Prepare(in KernelId kernel)
    {
        MakeCurrent();
        _ = loader[kernel];
    }

    /// <summary>Queues the filling of memory with a byte.</summary>
    internal void Fill(nint address, long bytes, byte value)
    {
        if (bytes == 0)
            return;
        MakeCurrent();
        lock (streamGate)
            Check(driver.MemsetBytes(address, value, (nuint)bytes, stream), "cuMemsetD8Async");
    }

    /// <summary>Queues a copy on the device.</summary>
    internal void Copy(nint source, nint destination, long bytes)
    {
        if (bytes == 0)
            return;
        MakeCurrent();
        lock (streamGate)
            Check(driver.MemcpyDeviceToDevice(destination, source, (nuint)bytes, stream), "cuMemcpyDtoDAsync");
    }

    // A fault of a kernel is reported by whatever call comes later.
    private void Check(int code, string call)
    {
        if (code != CudaCode.Success)
        {
            throw new CudaException(code, $"{Name}: {call} failed with {driver.Words(code)}"
                + (synchronous ? "" : "; a kernel before it may be the cause, MDM_SYNC=1 tells which"));
        }
    }

    private void RaiseShared(in KernelId kernel, LoadedKernel loaded, int sharedBytes)
    {
        if (sharedBytes > Properties.SharedPerBlock - loaded.StaticShared)
        {
            throw new ArgumentException($"{Describe(kernel)}: {sharedBytes} bytes of dynamic shared memory with {loaded.StaticShared} "
                + $"static ones, but {Properties.Name} has {Properties.SharedPerBlock} for a block");
        }

        Check(driver.FunctionSetAttribute(loaded.Handle, (int)FunctionAttribute.MaxDynamicShared, sharedBytes),
            $"cuFuncSetAttribute of {Describe(kernel)}, {sharedBytes} bytes of dynamic shared memory,");
        loaded.DynamicShared = sharedBytes;
    }

    private ArgumentException OverLimit(in KernelId kernel, Dim3 grid, Dim3 block, int sharedBytes, LoadedKernel loaded) =>
        new($"{Describe(kernel, grid, block, sharedBytes)}: a grid must be 1..{Properties.MaxGrid.X} x 1..{Properties.MaxGrid.Y} x "
            + $"1..{Properties.MaxGrid.Z} and a block of this kernel 1..{loaded.MaxThreads} threads");

    private CudaException LaunchFailure(string call, int code, in KernelId kernel, Dim3 grid, Dim3 block, int sharedBytes) =>
        new(code, $"{Name}: {call} {Describe(kernel, grid, block, sharedBytes)} failed with {driver.Words(code)}"
            + (synchronous ? "" : "; a kernel before it may be the cause, MDM_SYNC=1 tells which"));

    private static string Describe(in KernelId kernel) =>
        $"{kernel.Name} of {kernel.Module.File}{(kernel.Module.Defines.Length > 0 ? $" ({kernel.Module.Defines})" : "")}";

    private static string Describe(in KernelId kernel, Dim3 grid, Dim3 block, int sharedBytes) =>
        $"{Describe(kernel)} with grid {grid.X}x{grid.Y}x{grid.Z}, block {block.X}x{block.Y}x{block.Z}, {sharedBytes} bytes shared";
}

using System.Runtime.InteropServices;
using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Libraries;

/// <summary>cuDNN 9 on the GPU whose context is current, for convolutions. Not safe for several threads: the stream's lock is
/// held around its calls.</summary>
internal sealed unsafe class Cudnn : IDisposable
{
    private readonly CudnnApi api;
    private readonly Dictionary<(CudnnConvolution, int), CudnnPlan?> plans = [];
    private nint handle;
    private nint stream;

    private Cudnn(CudnnApi api, nint handle, string version) => (this.api, this.handle, Version) = (api, handle, version);

    /// <summary>E.g. <c>9.6.0</c>.</summary>
    public string Version { get; }

    /// <summary>Starts the library.</summary>
    /// <param name="found">What was found.</param>
    /// <param name="problem">Why it does not start, in a sentence; null if it does, or is not there.</param>
    /// <returns>Null if it cannot be used.</returns>
    public static Cudnn? Open(OptionalLibrary found, out string? problem)
    {
        problem = null;
        if (found.Library is not { } library)
            return null;
        string version = found.Version?.ToString() ?? "of unknown version";
        LoadParts(library);
        try
        {
            var api = new CudnnApi(library);
            nint handle;
            api.Check(api.Create(&handle), "cudnnCreate");
            return new Cudnn(api, handle, version);
        }
        catch (CudnnException e)
        {
            problem = $"cuDNN {version} ({library.Name}) does not start: {e.Message}";
        }
        catch (MdmException e) // it lacks a function
        {
            problem = $"cuDNN {version} cannot be used: {e.Message}";
        }

        return null;
    }

    /// <summary>The library loads its parts when it first needs them, by name. Where it lies in no folder of the system's, they are
    /// found only if they are loaded already.</summary>
    private static void LoadParts(LoadedLibrary library)
    {
        string folder = Path.GetDirectoryName(library.Name) ?? "";
        foreach (string part in (string[])["ops", "heuristic", "engines_precompiled", "engines_runtime_compiled"])
        {
            string file = Path.Combine(folder, OperatingSystem.IsWindows() ? $"cudnn_{part}64_9.dll" : $"libcudnn_{part}.so.9");
            if (File.Exists(file))
                _ = NativeLibrary.TryLoad(file, out _);
        }
    }

    /// <summary>How the library carries out a convolution; null if it has no engine that computes as this program does. Looked
    /// for once; plans live as long as the library.</summary>
    /// <param name="convolution">Which.</param>
    /// <param name="number">0: what the library proposes first; else one of its further proposals.</param>
    public CudnnPlan? Plan(in CudnnConvolution convolution, int number = 0)
    {
        if (!plans.TryGetValue((convolution, number), out CudnnPlan? plan))
            plans.Add((convolution, number), plan = CudnnPlan.Find(api, handle, convolution, number));
        return plan;
    }

    /// <summary>Queues a convolution.</summary>
    /// <param name="convolution">Which; it has a plan.</param>
    /// <param name="number">That of the plan.</param>
    /// <param name="operands">Addresses, aligned as the convolution says.</param>
    /// <param name="workspace">Of <see cref="CudnnPlan.WorkspaceBytes"/> bytes.</param>
    /// <param name="on">CUstream.</param>
    /// <returns>False if the library cannot after all; then nothing was queued, and there is no such plan any more.</returns>
    /// <exception cref="CudnnException">The library failed.</exception>
    public bool Execute(in CudnnConvolution convolution, int number, in CudnnOperands operands, nint workspace, nint on)
    {
        if (stream != on)
            api.Check(api.SetStream(handle, on), "cudnnSetStream");
        stream = on;
        CudnnPlan plan = plans[(convolution, number)]!;
        try
        {
            plan.Execute(api, handle, operands, workspace);
            return true;
        }
        catch (CudnnException e) when (e.IsUnsupported)
        {
            plan.Dispose();
            plans[(convolution, number)] = null;
            return false;
        }
    }

    public void Dispose()
    {
        if (handle == 0)
            return;
        foreach (CudnnPlan? plan in plans.Values)
            plan?.Dispose();
        plans.Clear();
        _ = api.Destroy(handle);
        handle = 0;
    }
}

using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Cuda;

/// <summary>Compiles kernel sources for one GPU.</summary>
internal sealed class KernelCompiler
{
    private const int Hopper = 90;

    private readonly ICudaCompiler compiler;

    /// <param name="compiler">NVRTC.</param>
    /// <param name="sources">What it compiles.</param>
    /// <param name="capability">Compute capability of the GPU, as 10·major + minor.</param>
    /// <param name="architectureSpecific">Whether the code may use instructions that only this very GPU has (<c>sm_90a</c>).</param>
    public KernelCompiler(ICudaCompiler compiler, KernelSources sources, int capability, bool architectureSpecific)
    {
        this.compiler = compiler;
        Sources = sources;
        Capability = capability;
        ArchitectureSpecific = architectureSpecific;
        int newest = compiler.Architectures.Count > 0 ? compiler.Architectures[^1] : int.MaxValue;
        EmitsPtx = capability > newest;
        Architecture = EmitsPtx ? $"compute_{newest}" : $"sm_{capability}{(architectureSpecific ? "a" : "")}";
    }

    public KernelSources Sources { get; }

    public int Capability { get; }

    public Version Version => compiler.Version;

    /// <summary>Whether Hopper's own instructions (wgmma) may be used.</summary>
    public bool ArchitectureSpecific { get; }

    /// <summary>Whether the GPU is newer than the compiler, so that the driver has to finish the translation.</summary>
    public bool EmitsPtx { get; }

    /// <summary>E.g. <c>sm_90a</c>, or <c>compute_90</c> for PTX.</summary>
    public string Architecture { get; }

    /// <summary>Whether a compiler makes Hopper's own instructions for a GPU.</summary>
    public static bool HasHopperInstructions(ICudaCompiler compiler, int capability) => capability == Hopper && compiler.Version.Major >= 12;

    /// <summary>Whether the GPU and the compiler are up to a module.</summary>
    public bool CanCompile(KernelModule module) =>
        module.MinimumCapability < Hopper ? module.MinimumCapability <= Capability : ArchitectureSpecific;

    /// <summary>The options for a module. Line numbers (-lineinfo) are not among them: NVRTC 11.8 crashes with them on the largest
    /// products.</summary>
    public IReadOnlyList<string> Options(KernelModule module) =>
    [
        "--gpu-architecture=" + Architecture, "--std=c++17",
        .. module.Defines.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(define => "-D" + define),
    ];

    /// <summary>CUBIN (or PTX) of a module.</summary>
    /// <exception cref="MdmException">The source has errors: the message has the compiler's log.</exception>
    public byte[] Compile(KernelModule module) => Compile(module, [], out _);

    /// <summary>CUBIN (or PTX) of a module, compiled with more options.</summary>
    /// <exception cref="MdmException">The source has errors: the message has the compiler's log.</exception>
    public byte[] Compile(KernelModule module, string[] moreOptions, out string log)
    {
        CompilerOutput output = compiler.Compile(
            Sources[module.File], Sources.Headers, [.. Options(module), .. moreOptions], EmitsPtx);
        log = output.Log;
        return output.Binary ?? throw new MdmException(
            $"{module.File}{(module.Defines.Length > 0 ? $" ({module.Defines})" : "")}: NVRTC {compiler.Version} finds errors for "
            + $"{Architecture}:\n{output.Log}");
    }
}

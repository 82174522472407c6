using System.Text.RegularExpressions;
using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Native;
using Mdm.Kernels.Cuda.Products;
using Mdm.Tests;

namespace Mdm.Kernels.Tests.Cuda;

/// <summary>The kernels through the real compiler, which needs no GPU: no error, no warning, no register spilled to
/// memory.</summary>
public sealed partial class NvrtcTests
{
    private static readonly int[] s_capabilities = [80, 90];

    /// <summary>The version whose spills are judged; those of others are printed.</summary>
    private static readonly Version s_judged = new(11, 8);

    /// <summary>Bytes that a kernel may spill, by kernel, beginning of the defines' tile and capability; all others spill
    /// nothing. The portable products of 128x128 run on Hopper only with NVRTC 11 or where Hopper's own do not fit, and there all
    /// 255 registers are in use. In products without matrix cores it is two registers. The casts
    /// belong to the reading of files.</summary>
    private static readonly Dictionary<(string Kernel, string Tile, int Capability), int> s_allowed = new()
    {
        [("conv_forward", "MDM_MATH=Bf16 BM=128 BN=128 ", 90)] = 20,
        [("conv_weight", "MDM_MATH=Bf16 BM=128 BN=128 ", 90)] = 8,
        [("matmul_nt", "MDM_MATH=Simt BM=64 BN=64 WM=16 WN=32 STAGES=3 MIN_BLOCKS=2 MDM_ALIGNED=true", 80)] = 8,
        [("cast_i64_f32", "", 90)] = 12,
        [("cast_f64_f32", "", 90)] = 12,
    };

    private static Nvrtc Compiler
    {
        get
        {
            if (CudaLibraries.Nvrtc is not { } nvrtc)
            {
                Assert.Ignore(CudaProbe.CompilerProblem()!);
                throw new InvalidOperationException();
            }

            return nvrtc;
        }
    }

    // Hopper's own kernels need a later compiler: HopperCompilationTests.
    private static IEnumerable<TestCaseData> Modules => CudaKernels.Modules.Except(Hopper.Modules).SelectMany(module => s_capabilities
        .Select(capability => new TestCaseData(module.File, module.Defines, module.MinimumCapability, capability)
            .SetArgDisplayNames($"{module.File} {module.Defines} sm_{capability}")));

    [TestCaseSource(nameof(Modules))]
    [Parallelizable(ParallelScope.Children)] // as each compiles in a process of its own
    public void EveryModuleCompilesAndSpillsNothing(string file, string defines, int minimum, int capability)
    {
        bool judged = Compiler.Version == s_judged;
        string log = CompileAlone.Log(new KernelModule(file, defines, minimum), capability);
        Assert.That(Usage().Matches(log), Is.Not.Empty, log);
        foreach (Match kernel in Usage().Matches(log))
        {
            TestContext.Out.WriteLine($"sm_{capability} {file} {defines} {kernel.Groups["kernel"].Value}: "
                + $"{kernel.Groups["registers"].Value} registers, {(kernel.Groups["shared"] is { Success: true } s ? s.Value : "0")} "
                + $"bytes shared, {kernel.Groups["spilled"].Value} bytes spilled");
            Assert.That(judged ? Excess(kernel, defines, capability) : 0, Is.Not.Positive, $"{kernel.Groups["kernel"].Value} spills registers");
        }

        Assert.That(log, Does.Not.Contain("warning"));
    }

    /// <summary>Bytes spilled beyond those allowed.</summary>
    private static int Excess(Match kernel, string defines, int capability) => int.Parse(kernel.Groups["spilled"].Value)
        - s_allowed.FirstOrDefault(a => a.Key.Kernel == kernel.Groups["kernel"].Value
            && a.Key.Capability == capability && defines.Contains(a.Key.Tile)).Value;

    [Test]
    public void EverySourceIsAmongTheModules()
    {
        string[] sources = [.. Directory.GetFiles(Path.Combine(GoldenFiles.Root, "kernels"), "*.cu").Select(Path.GetFileName)!];
        Assert.That(CudaKernels.Modules.Select(module => module.File).Distinct(), Is.EquivalentTo(sources));
    }

    [Test]
    public void AnErrorIsToldWithFileAndLine()
    {
        string folder = Directory.CreateTempSubdirectory("mdm-kernels-").FullName;
        try
        {
            Directory.CreateDirectory(Path.Combine(folder, "include"));
            File.WriteAllText(Path.Combine(folder, "include", "wrong.cuh"), "\n\nint f() { return nothing; }\n");
            File.WriteAllText(Path.Combine(folder, "broken.cu"),
                "#include \"wrong.cuh\"\nextern \"C\" __global__ void k(float* x)\n{\n    x[0] = missing;\n}\n");
            KernelCompiler compiler = For(new KernelSources(folder), 80);
            MdmException error = Assert.Throws<MdmException>(() => compiler.Compile(new KernelModule("broken.cu", "MDM_T=float")))!;
            Assert.That(error.Message, Does.StartWith($"broken.cu (MDM_T=float): NVRTC {Compiler.Version} finds errors for sm_80:\n"));
            Assert.That(error.Message, Does.Match(@"broken\.cu\(4\): error: .*""missing"" is undefined"));
            Assert.That(error.Message, Does.Match(@"wrong\.cuh\(3\): error: .*""nothing"" is undefined"));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Test]
    public void AGpuThatTheCompilerDoesNotKnowGetsPtx()
    {
        byte[] ptx = For(KernelSources.Default(), 990).Compile(KernelModule.Of("layernorm.cu", DType.BFloat16));
        Assert.That(System.Text.Encoding.UTF8.GetString(ptx), Does.Contain(".version").And.Contain(".entry"));
    }

    [Test]
    public void AMissingSourceIsNamed() => Assert.That(() => KernelSources.Default()["nosuch.cu"],
        Throws.TypeOf<MdmException>().With.Message.Contains("nosuch.cu"));

    private static KernelCompiler For(KernelSources sources, int capability) =>
        new(Compiler, sources, capability, KernelCompiler.HasHopperInstructions(Compiler, capability));

    [GeneratedRegex(@"Compiling entry function '(?<kernel>\w+)'[^\0]*?(?<spilled>\d+) bytes spill stores[^\0]*?"
        + @"Used (?<registers>\d+) registers(, (?<shared>\d+) bytes smem)?")]
    private static partial Regex Usage();
}

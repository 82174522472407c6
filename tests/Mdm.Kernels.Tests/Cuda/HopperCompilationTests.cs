using System.Text.RegularExpressions;
using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Native;
using Mdm.Kernels.Cuda.Products;

namespace Mdm.Kernels.Tests.Cuda;

/// <summary>Hopper's kernels through an NVRTC of CUDA 12 or later, which the folder <c>MDM_TEST_NVRTC</c> holds; no GPU is
/// needed.</summary>
public sealed class HopperCompilationTests
{
    private const string FolderVariable = "MDM_TEST_NVRTC";

    private static IEnumerable<TestCaseData> Modules() =>
        Hopper.Modules.Select(m => new TestCaseData(m).SetArgDisplayNames($"{m.File} {m.Defines}"));

    [TestCaseSource(nameof(Modules))]
    public void CompilesWithoutSpillsAndWithoutProductsOneAfterAnother(object module)
    {
        string folder = Environment.GetEnvironmentVariable(FolderVariable) ?? "";
        if (!Directory.Exists(folder))
            Assert.Ignore($"{FolderVariable} names no folder with an NVRTC of CUDA 12 or later, which Hopper's instructions need");
        // The loader finds a library again by name alone once it is loaded: the one that other tests use comes first.
        _ = CudaLibraries.Nvrtc;
        LoadedLibrary? library = NvrtcSearch.Load(Directory.GetFiles(folder, "libnvrtc.so.*"));
        Assert.That(library, Is.Not.Null, folder);
        var nvrtc = new Nvrtc(library!);
        Assert.That(KernelCompiler.HasHopperInstructions(nvrtc, 90), $"NVRTC {nvrtc.Version} knows sm_90a");
        var compiler = new KernelCompiler(nvrtc, new KernelSources(null), 90, true);
        byte[] code = compiler.Compile((KernelModule)module, ["--ptxas-options=-v"], out string log);
        TestContext.Out.WriteLine(log);
        Assert.That(code, Is.Not.Empty);
        Assert.That(log, Does.Not.Contain("Performance Loss"));
        Assert.That(log, Does.Contain("0 bytes spill stores"));
        Assert.That(Regex.Matches(log, "(\\d+) bytes spill"), Is.All.Matches<Match>(m => m.Groups[1].Value == "0"));
    }

    [Test]
    public void ModulesForHopperAloneThatDoNotCompileArePassedOverAheadOfTime()
    {
        string folder = Directory.CreateTempSubdirectory("mdm-cubins").FullName;
        try
        {
            var compiler = new KernelCompiler(new WithoutWgmma(), new KernelSources(null), 90, true);
            var binaries = new KernelBinaries(compiler, new CubinCache(folder));
            KernelModule portable = KernelModule.Of("layernorm.cu", DType.Float32), hopper = Hopper.Modules.First();
            binaries.Compile([portable, hopper], null);
            Assert.That(binaries[portable], Is.EqualTo(WithoutWgmma.Code));
            Assert.That(() => binaries[hopper], Throws.TypeOf<MdmException>().With.Message.Contains("no wgmma"));
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    /// <summary>A compiler of CUDA 12 that fails at Hopper's instructions.</summary>
    private sealed class WithoutWgmma : ICudaCompiler
    {
        public static byte[] Code { get; } = [1, 2, 3];

        public Version Version { get; } = new(12, 0);

        public IReadOnlyList<int> Architectures { get; } = [80, 90];

        public CompilerOutput Compile(SourceText source, IReadOnlyList<SourceText> headers, IReadOnlyList<string> options, bool ptx) =>
            source.Name.StartsWith("hopper") ? new CompilerOutput(null, "error: no wgmma") : new CompilerOutput(Code, "");
    }
}

using System.Diagnostics;
using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Native;

namespace Mdm.Kernels.Tests.Cuda;

/// <summary>Compiles one module in a process of its own: NVRTC 11 takes one file at a time, and what it spills depends on what the
/// same process compiled before.</summary>
internal static class CompileAlone
{
    /// <summary>What the compiler says of a module when it compiles nothing else.</summary>
    public static string Log(KernelModule module, int capability)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!,
            ["exec", typeof(CompileAlone).Assembly.Location, module.File, module.Defines, $"{capability}"])
        {
            RedirectStandardOutput = true,
        };
        using Process process = Process.Start(start)!;
        string log = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.That(process.ExitCode, Is.Zero, log);
        return log;
    }

    /// <summary>The program that this assembly is: a file of kernels, its defines, a compute capability.</summary>
    private static int Main(string[] words)
    {
        int capability = int.Parse(words[2]);
        Nvrtc nvrtc = CudaLibraries.Nvrtc!;
        var compiler = new KernelCompiler(nvrtc, KernelSources.Default(), capability,
            KernelCompiler.HasHopperInstructions(nvrtc, capability));
        try
        {
            _ = compiler.Compile(new KernelModule(words[0], words[1]), ["--ptxas-options=-v"], out string log);
            Console.WriteLine(log);
            return 0;
        }
        catch (MdmException problem)
        {
            Console.WriteLine(problem.Message);
            return 1;
        }
    }
}

using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Products;
using Mdm.Kernels.Cuda.Ways;
using Mdm.Kernels.Libraries;
using Mdm.Kernels.Profiling;
using Mdm.Tensors;
using Mdm.Tensors.Checks;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Convolutions by cuDNN, for which a stand-in that checks what it is told computes. It proposes engines first that
/// spoil the result and must not be taken.</summary>
[NonParallelizable]
[EmulatorOnly]
public sealed unsafe class CudnnTests
{
    private static readonly ConvShape[] s_shapes =
    [
        new(1, 1, 1, 1, 1), new(2, 5, 7, 3, 4), new(1, 4, 3, 17, 33), new(3, 2, 9, 16, 8),
        new(1, 1, 1, 8, 8, Stride: 2), new(2, 5, 7, 3, 4, Stride: 2), new(1, 6, 4, 18, 5, Stride: 2),
    ];

    private CudaDevice device = null!;

    public enum Engines
    {
        None,
        Working,
        Refusing,
    }

    [SetUp]
    public void Open()
    {
        device = (CudaDevice)Devices.Open("cuda");
        device.KernelChoice = KernelChoice.Library;
    }

    [TearDown]
    public void Restore()
    {
        device.KernelChoice = KernelChoice.Own;
        device.AllowTf32 = false;
        SetUp();
        Planted.ForgetError();
    }

    // What is added is a part of cuDNN's call where tensor cores compute, and else added by a pass of our own.
    [TestCase(DType.BFloat16, false, 5e-3)]
    [TestCase(DType.Float32, false, 1e-6)]
    [TestCase(DType.Float32, true, 1e-3)]
    public void EveryShape(DType type, bool tf32, double tolerance)
    {
        device.AllowTf32 = tf32;
        foreach (ConvShape shape in s_shapes)
        {
            int before = Executions;
            ConvolutionCheck.Run(device, type, shape, 0, tolerance, tolerance, $"{shape} in {type}");
            Assert.That(Executions - before, Is.EqualTo(3), "convolutions by the library");
        }
    }

    [TestCase(DType.BFloat16)]
    [TestCase(DType.Float32)]
    public void TheOperationTable(DType type)
    {
        OperationCase[] cases = [.. OperationTable.In(type).Where(c => c.Operation == "Conv3x3" && c.Error == null)];
        Assert.That(cases, Has.Length.GreaterThan(20));
        foreach (OperationCase test in cases)
        {
            int before = Executions;
            Assert.That(OperationChecker.Check(test, device, type).Fault, Is.Null, test.ToString());
            bool doubled = test.Name.Contains("doubled", StringComparison.Ordinal);
            Assert.That(Executions - before, doubled ? Is.Zero : Is.GreaterThanOrEqualTo(3), test.ToString());
        }
    }

    [Test]
    public void FloatGradientsOfBFloat16AreNotRoundedWhereItCanWriteThem()
    {
        using CudaDevice other = Restarted(floatGradients: true);
        ConvolutionCheck.Run(other, DType.BFloat16, new ConvShape(1, 4, 4, 16, 8), 0, 5e-3, 1e-6, "dw");
        Assert.That(other.LibraryCalls, Is.EqualTo(3));
    }

    [Test]
    public void WhatItCannotDoIsDoneByOwnKernels()
    {
        long before = device.LibraryCalls;
        ConvolutionCheck.Run(device, DType.BFloat16, new ConvShape(1, 3, 2, 8, 8, Upsample: true), 0, 5e-3, 1e-6, "doubled");
        Assert.That(device.LibraryCalls, Is.EqualTo(before), "doubled");
        ConvolutionCheck.Run(device, DType.BFloat16, new ConvShape(1, 3, 2, 8, 8), 1, 5e-3, 1e-6, "at odd addresses");
        Assert.That(device.LibraryCalls, Is.EqualTo(before), "at odd addresses");
    }

    [TestCase(Engines.None)]
    [TestCase(Engines.Refusing)]
    public void WhatItHasNoEngineForIsDoneByOwnKernels(Engines engines)
    {
        using CudaDevice other = Restarted(engines: engines);
        ConvolutionCheck.Run(other, DType.BFloat16, new ConvShape(1, 3, 2, 8, 8), 0, 5e-3, 1e-6, "y");
        Assert.That(other.LibraryCalls, Is.Zero);
    }

    [Test]
    public void ALibraryThatDoesNotStartIsToldOfAndLeftOut()
    {
        using CudaDevice other = Restarted(status: 1001);
        ConvolutionCheck.Run(other, DType.Float32, new ConvShape(1, 3, 2, 3, 4), 0, 1e-6, 1e-6, "own");
        Assert.That(other.LibraryCalls, Is.Zero);
        Assert.That(other.Libraries.Cudnn, Is.Null);
        Finding finding = Finding.OfGpus().Single(f => f.What == "cuDNN");
        Assert.That(finding.IsThere, Is.False);
        Assert.That(finding.Text, Does.StartWith("cuDNN 9.6.0 (").And.EndsWith(
            "libcudnn_graph.so.9) does not start: cuDNN: cudnnCreate failed with CUDNN_STATUS_NOT_INITIALIZED (1001)"));
    }

    [Test]
    public void APartThatCannotBeLoadedDoesNotMatterByItself()
    {
        string folder = Directory.CreateTempSubdirectory("mdm-cudnn-").FullName;
        File.WriteAllText(Path.Combine(folder, "libcudnn_ops.so.9"), "no library");
        OptionalLibrary found = OptionalLibrary.Cudnn();
        found = found with { Library = found.Library! with { Name = Path.Combine(folder, "libcudnn_graph.so.9") } };
        using Cudnn? library = Cudnn.Open(found, out string? problem);
        Assert.That((library?.Version, problem), Is.EqualTo(("9.6.0", (string?)null)));
        Directory.Delete(folder, recursive: true);
    }

    [Test]
    public void CapturedConvolutionsAreReplayed()
    {
        var shape = new ConvShape(1, 4, 4, 8, 8);
        using Operand x = Operand.Random(device, DType.BFloat16, 1, 128), w = Operand.Random(device, DType.BFloat16, 2, 576);
        using Operand y = Operand.Random(device, DType.BFloat16, 3, 128), z = Operand.Random(device, DType.BFloat16, 4, 128);
        device.Kernels.Conv3x3Forward(shape, x.Ptr, w.Ptr, default, default, z.Ptr);
        using ICapturedWork work = device.Capture(
            () => device.Kernels.Conv3x3Forward(shape, x.Ptr, w.Ptr, default, default, y.Ptr));
        device.Synchronize();
        int before = Executions;
        work.Replay();
        work.Replay();
        Assert.That(y.Read(), Is.EqualTo(z.Read()));
        Assert.That(Executions - before, Is.EqualTo(2));
    }

    [Test]
    public void FurtherProposalsAreFurtherPlansAndEverythingIsGivenBack()
    {
        int before = Objects;
        using (Cudnn library = Cudnn.Open(OptionalLibrary.Cudnn(), out _)!)
        {
            var what = new CudnnConvolution(
                ConvPass.Forward, new ConvShape(1, 4, 4, 8, 8), DType.Float32, DType.Float32, Tf32: true);
            // Allowed: one that cannot be built, one that wants too much memory, tensor cores, plain.
            CudnnPlan? first = library.Plan(what);
            Assert.That(first?.WorkspaceBytes, Is.EqualTo(4096));
            Assert.That(library.Plan(what, 1), Is.Null);
            Assert.That(library.Plan(what, 2)?.WorkspaceBytes, Is.EqualTo(4096));
            Assert.That(library.Plan(what, 3)?.WorkspaceBytes, Is.Zero);
            Assert.That(library.Plan(what, 4), Is.Null);
            Assert.That(library.Plan(what with { Tf32 = false })?.WorkspaceBytes, Is.Zero);
            Assert.That(library.Plan(what with { Tf32 = false, Residual = true }), Is.Null);
            Assert.That(library.Plan(what with { Shape = new ConvShape(0, 4, 4, 8, 8) }), Is.Null);
            Assert.That(library.Plan(what), Is.SameAs(first), "asked for again");
        }

        Assert.That(Objects, Is.EqualTo(before));
    }

    /// <summary>Of its proposals the second one cannot be had; the fourth one is the fastest by the test's clock.</summary>
    [Test]
    public void AllItsProposalsAreMeasured()
    {
        string folder = Directory.CreateTempSubdirectory("mdm-cudnn-").FullName, choices = Path.Combine(folder, "choices.txt");
        var timed = new HashSet<Way>();
        var fastest = new Way(Maker.Library, 3);
        var kernels = new CudaKernels(device, () => new WayFile(choices, "test"))
        {
            Chooser = { Clock = (way, _) => timed.Add(way) || way != fastest ? 2 : 1 },
        };
        (device.KernelChoice, device.AllowTf32) = (KernelChoice.Auto, true);
        var shape = new ConvShape(1, 4, 4, 8, 8, Stride: 2);
        using Operand x = Operand.Random(device, DType.Float32, 1, 128), w = Operand.Random(device, DType.Float32, 2, 576);
        using Operand y = Operand.Random(device, DType.Float32, 3, 32), z = Operand.Random(device, DType.Float32, 4, 32);
        kernels.Conv3x3Forward(shape, x.Ptr, w.Ptr, default, default, y.Ptr);
        Assert.That(timed.Where(way => way.Maker == Maker.Library).Select(way => way.Tile), Is.EquivalentTo(new[] { 0, 2, 3 }));
        Assert.That(File.ReadAllText(choices), Does.Contain("convolution Forward 1x4x4 8->8 /2 Tf32 None = Library 3 0"));

        // That one computes in float32.
        (device.KernelChoice, device.AllowTf32) = (KernelChoice.Own, false);
        kernels.Conv3x3Forward(shape, x.Ptr, w.Ptr, default, default, z.Ptr);
        Assert.That(y.RelativeError(z.Read()), Is.LessThan(1e-6));
        Directory.Delete(folder, recursive: true);
    }

    [Test]
    public void AProfileTellsWhatItComputed()
    {
        var recorder = new ProfilingDevice(device);
        using Operand x = Operand.Random(device, DType.Float32, 1, 128), w = Operand.Random(device, DType.Float32, 2, 576);
        using Operand y = Operand.Random(device, DType.Float32, 3, 512);
        recorder.Kernels.Conv3x3Forward(new ConvShape(1, 4, 4, 8, 8), x.Ptr, w.Ptr, default, default, y.Ptr);
        recorder.Kernels.Conv3x3Forward(new ConvShape(1, 4, 4, 8, 8, Upsample: true), x.Ptr, w.Ptr, default, default, y.Ptr);
        Assert.That(recorder.Records.Select(record => record.ByLibrary), Is.EqualTo(new[] { true, false }));
    }

    private static int Executions
    {
        get
        {
            Devices.Open("cuda").Synchronize();
            return ((delegate* unmanaged<int>)Symbol("mdmCudnnExecutions"))();
        }
    }

    private static int Objects => ((delegate* unmanaged<int>)Symbol("mdmCudnnObjects"))();

    /// <summary>Another device, for which the library behaves otherwise.</summary>
    private static CudaDevice Restarted(int status = 0, Engines engines = Engines.Working, bool floatGradients = false)
    {
        SetUp(status, engines, floatGradients);
        CudaDevice other = CudaDevice.Open(0);
        other.KernelChoice = KernelChoice.Library;
        return other;
    }

    private static void SetUp(int status = 0, Engines engines = Engines.Working, bool floatGradients = false) =>
        ((delegate* unmanaged<int, int, int, void>)Symbol("mdmCudnnSetUp"))(status, (int)engines, floatGradients ? 1 : 0);

    private static nint Symbol(string name) => NativeLibrary.GetExport(OptionalLibrary.Cudnn().Library!.Handle, name);
}

using Mdm.Kernels;
using Mdm.Kernels.Cuda;
using Mdm.Kernels.Cuda.Ways;
using Mdm.Kernels.Profiling;
using Mdm.Tensors;
using Mdm.Tensors.Checks;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Products and convolutions whose kernels are chosen by measuring or taken from a library.</summary>
[NonParallelizable] // the choice is the device's
public sealed class ChoiceTests
{
    private const int M = 40, N = 24, K = 32;
    private readonly string folder = Directory.CreateTempSubdirectory("mdm-choices-").FullName;
    private readonly List<Way> timed = [];
    private CudaDevice device = null!;
    private CudaKernels kernels = null!;
    private Way fastest;

    [SetUp]
    public void Open()
    {
        device = (CudaDevice)Devices.Open("cuda");
        kernels = Kernels();
        timed.Clear();
        foreach (string file in Directory.GetFiles(folder))
            File.Delete(file);
    }

    [TearDown]
    public void Restore()
    {
        device.KernelChoice = KernelChoice.Own;
        Planted.ForgetError();
    }

    [OneTimeTearDown]
    public void Remove() => Directory.Delete(folder, recursive: true);

    [Test]
    public void OperationsAreRightByTheLibrary([Values(DType.Float32, DType.BFloat16)] DType type)
    {
        Assume.That(device.HasLibraries, "cuBLASLt is not installed");
        device.KernelChoice = KernelChoice.Library;
        long before = device.LibraryCalls;
        OperationCase[] cases = [.. OperationTable.In(type)
            .Where(test => test.ToString().Contains("linear", StringComparison.OrdinalIgnoreCase)
                || test.ToString().Contains("feed", StringComparison.OrdinalIgnoreCase))];
        Assert.That(cases, Has.Length.GreaterThan(15));
        foreach (OperationCase test in cases)
            Assert.That(OperationChecker.Check(test, device, type).Fault, Is.Null, test.ToString());
        Assert.That(device.LibraryCalls - before, Is.GreaterThan(cases.Length));
    }

    [Test]
    public void TheFastestIsFoundOnceAndKept()
    {
        device.KernelChoice = KernelChoice.Auto;
        fastest = new Way(Maker.Portable, 8);
        using var operands = new Operands(device, DType.Float32);
        operands.Check(kernels, accumulate: false);
        Assert.That(timed.Distinct(), Is.SupersetOf(new[] { Way.Reckoned, new Way(Maker.Portable, 8), new Way(Maker.Portable, 9) }));
        Assert.That(timed.Contains(Way.Library), Is.EqualTo(device.HasLibraries));
        string[] lines = File.ReadAllLines(Path.Combine(folder, "choices.txt"));
        Assert.That(lines, Is.EqualTo(new[] { "# test", $"product {M}x{N}x{K} NT {K} {K} {N} Simt Bias = Portable 8 0" }));

        timed.Clear();
        operands.Check(kernels, accumulate: false);
        Assert.That(timed, Is.Empty, "measured again by the same process");
        kernels = Kernels();
        operands.Check(kernels, accumulate: false);
        Assert.That(timed, Is.Empty, "measured again by the next process");
        Assert.That(kernels.Chooser.Count, Is.Zero);
    }

    /// <summary>Every way that is tried would add.</summary>
    [Test]
    public void MeasuringLeavesTheResultAlone([Values(DType.Float32, DType.BFloat16)] DType type)
    {
        device.KernelChoice = KernelChoice.Auto;
        fastest = Way.Library;
        using var operands = new Operands(device, type);
        operands.Check(kernels, accumulate: true);
        Assert.That(timed, Is.Not.Empty);
        operands.Check(kernels, accumulate: true);
    }

    [Test]
    public void ConvolutionsAreChosenToo()
    {
        device.KernelChoice = KernelChoice.Auto;
        fastest = new Way(Maker.Portable, 9);
        var shape = new ConvShape(2, 5, 6, 8, 12);
        using Operand x = Operand.Random(device, DType.Float32, 1, 2 * 5 * 6 * 8);
        using Operand dy = Operand.Random(device, DType.Float32, 3, 2 * 5 * 6 * 12);
        using Operand dw = Operand.Random(device, DType.Float32, 4, 9 * 8 * 12);
        device.KernelChoice = KernelChoice.Own;
        using Operand own = Operand.Random(device, DType.Float32, 4, 9 * 8 * 12);
        using Operand db = Operand.Random(device, DType.Float32, 5, 12), ownDb = Operand.Random(device, DType.Float32, 5, 12);
        device.Kernels.Conv3x3BackwardWeight(shape, x.Ptr, dy.Ptr, new Target(own.Ptr, true), new Target(ownDb.Ptr, true));
        device.KernelChoice = KernelChoice.Auto;
        kernels.Conv3x3BackwardWeight(shape, x.Ptr, dy.Ptr, new Target(dw.Ptr, true), new Target(db.Ptr, true));
        Assert.That(dw.RelativeError(own.Read()), Is.LessThan(1e-6));
        Assert.That(db.RelativeError(ownDb.Read()), Is.LessThan(1e-6));
        Assert.That(File.ReadAllText(Path.Combine(folder, "choices.txt")),
            Does.Contain("convolution Weight 2x5x6 8->12 Simt Accumulate, RowSums = Portable 9 0"));
    }

    [Test]
    public void TheLibrarysGradientOfAWeightComesWithThatOfTheBias(
        [Values(DType.Float32, DType.BFloat16)] DType type, [Values] bool accumulate)
    {
        Assume.That(device.HasLibraries, "cuBLASLt is not installed");
        const int m = 24, n = 16, k = 70;
        using Operand dy = Operand.Random(device, type, 1, k * m), x = Operand.Random(device, type, 2, k * n);
        double[][] results = [.. new[] { KernelChoice.Own, KernelChoice.Library }.Select(choice =>
        {
            device.KernelChoice = choice;
            using Operand dw = Operand.Random(device, DType.Float32, 3, m * n), db = Operand.Random(device, DType.Float32, 4, m);
            kernels.MatMulBackwardWeight(MatMulShape.Contiguous(m, n, k, transposeA: true), dy.Ptr, x.Ptr,
                new Target(dw.Ptr, accumulate), new Target(db.Ptr, accumulate));
            return (double[])[.. dw.Read(), .. db.Read()];
        })];
        Assert.That(results[1], Is.EqualTo(results[0]).Within(1e-4));
    }

    /// <summary>A capture goes on with what is known; measuring waits for the next call outside.</summary>
    [Test]
    public void NothingIsMeasuredInsideACapture()
    {
        Assume.That(device.CanCapture);
        device.KernelChoice = KernelChoice.Auto;
        fastest = new Way(Maker.Portable, 9);
        using var operands = new Operands(device, DType.Float32);
        using (ICapturedWork work = device.Capture(() => operands.Multiply(kernels, accumulate: false)))
        {
            Assert.That(timed, Is.Empty);
            work.Replay();
            operands.CheckResult(accumulated: 0);
        }

        operands.Check(kernels, accumulate: false);
        Assert.That(timed, Is.Not.Empty);
    }

    [Test]
    public void TheLibrarysWorkIsCapturedAndReplayed([Values(DType.Float32, DType.BFloat16)] DType type)
    {
        Assume.That(device.HasLibraries && device.CanCapture, "cuBLASLt is not installed");
        device.KernelChoice = KernelChoice.Library;
        using var operands = new Operands(device, type, k: 300); // with workspace
        operands.Check(kernels, accumulate: true);
        operands.Reset();
        using ICapturedWork work = device.Capture(() => operands.Multiply(kernels, accumulate: true));
        operands.CheckResult(accumulated: 0, untouched: true);
        work.Replay();
        work.Replay();
        operands.CheckResult(accumulated: 2);
    }

    [Test]
    public void AProfileTellsWhatTheLibraryComputed()
    {
        Assume.That(device.HasLibraries, "cuBLASLt is not installed");
        var recorder = new ProfilingDevice(device);
        using var operands = new Operands(device, DType.Float32);
        foreach (KernelChoice choice in (KernelChoice[])[KernelChoice.Own, KernelChoice.Library])
        {
            recorder.Reset();
            device.KernelChoice = choice;
            operands.Multiply(recorder.Kernels, accumulate: false);
            recorder.Kernels.Fill(M, 1, operands.C);
            Assert.That(recorder.Records.Select(r => r.ByLibrary),
                Is.EqualTo(new[] { choice == KernelChoice.Library, false }), $"{choice}");
        }
    }

    private CudaKernels Kernels() => new(device, () => new WayFile(Path.Combine(folder, "choices.txt"), "test"))
    {
        Chooser =
        {
            Clock = (way, _) =>
            {
                timed.Add(way);
                return way == fastest ? 1 : 2;
            },
        },
    };

    /// <summary>C = A Bᵀ + bias, or added to C.</summary>
    private sealed class Operands : IDisposable
    {
        private readonly Operand a, b, bias;
        private readonly DType type;
        private readonly int k;
        private readonly double[] product = new double[M * N];
        private Operand c;

        public Operands(CudaDevice device, DType type, int k = K)
        {
            (this.type, this.k) = (type, k);
            a = Operand.Random(device, type, 1, M * k);
            b = Operand.Random(device, type, 2, N * k);
            bias = Operand.Random(device, DType.Float32, 3, N);
            c = Result(device);
            Device = device;
            for (int i = 0; i < M * N; i++)
            {
                product[i] = bias.Values[i % N];
                for (int p = 0; p < k; p++)
                    product[i] += a.Values[i / N * k + p] * b.Values[i % N * k + p];
            }
        }

        public Ptr C => c.Ptr;

        private CudaDevice Device { get; }

        public void Multiply(IKernels kernels, bool accumulate) => kernels.MatMul(
            MatMulShape.Contiguous(M, N, k, transposeB: true), a.Ptr, b.Ptr, new Target(c.Ptr, accumulate), bias.Ptr);

        public void Check(IKernels kernels, bool accumulate)
        {
            Reset();
            Multiply(kernels, accumulate);
            CheckResult(accumulate ? 1 : 0);
        }

        public void Reset()
        {
            c.Dispose();
            c = Result(Device);
        }

        /// <summary>The result of a product, or what was there and so many of them.</summary>
        public void CheckResult(int accumulated, bool untouched = false)
        {
            double[] expected = [.. product.Select((x, i) => untouched ? c.Values[i]
                : accumulated == 0 ? x : c.Values[i] + accumulated * x)];
            Assert.That(c.RelativeError(expected), Is.LessThan(type == DType.BFloat16 ? 5e-3 : 1e-6));
        }

        public void Dispose()
        {
            foreach (Operand operand in (Operand[])[a, b, bias, c])
                operand.Dispose();
        }

        private Operand Result(CudaDevice device) => Operand.Random(device, type, 4, M * N);
    }
}

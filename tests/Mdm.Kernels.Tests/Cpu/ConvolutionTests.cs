using Mdm.Kernels.Cpu;
using Mdm.Tests;

namespace Mdm.Kernels.Tests.Cpu;

[TestFixture(CpuLevel.Plain, false)]
[TestFixture(CpuLevel.Avx2, false)]
[TestFixture(CpuLevel.Avx512, false)]
[TestFixture(CpuLevel.Plain, true)]
[TestFixture(CpuLevel.Avx2, true)]
[TestFixture(CpuLevel.Avx512, true)]
public unsafe class ConvolutionTests(CpuLevel level, bool winograd) : CpuLevelFixture(level)
{
    private readonly CpuKernels kernels = new();
    private bool winogradBefore;

    [OneTimeSetUp]
    public void ChooseAlgorithm() => (winogradBefore, CpuKernels.UseWinograd) = (CpuKernels.UseWinograd, winograd);

    [OneTimeTearDown]
    public void RestoreAlgorithm() => CpuKernels.UseWinograd = winogradBefore;

    private static IEnumerable<ConvShape> Shapes()
    {
        (int B, int H, int W, int I, int O)[] sizes =
        [
            (1, 1, 1, 1, 1), (2, 1, 1, 8, 5), (1, 1, 7, 3, 4), (3, 2, 2, 16, 16), (1, 5, 4, 3, 32), (2, 7, 9, 32, 3),
            (1, 8, 8, 64, 64), (2, 5, 6, 17, 70), (1, 9, 3, 70, 17), (1, 6, 11, 48, 96), (1, 3, 4, 200, 40), (2, 4, 4, 5, 130), (1, 12, 13, 4, 9),
        ];
        foreach (var (b, h, w, i, o) in sizes)
        {
            yield return new ConvShape(b, h, w, i, o);
            yield return new ConvShape(b, h, w, i, o, Stride: 2);
            yield return new ConvShape(b, h, w, i, o, Upsample: true);
        }

        yield return new ConvShape(1, 4, 3, 6, 7, Stride: 2, Upsample: true);
        yield return new ConvShape(1, 20, 20, 64, 64);
        yield return new ConvShape(1, 18, 22, 24, 40);
        yield return new ConvShape(3, 11, 13, 32, 48);
    }

    [Test]
    public void Forward([ValueSource(nameof(Shapes))] ConvShape s, [Values] bool epilogue)
    {
        using var o = new Operands(s);
        double[] expected = new double[o.Y.Length];
        for (int i = 0; i < expected.Length && epilogue; i++)
            expected[i] = (double)o.Bias.Span[i % s.OutChannels] + o.Residual.Span[i];
        ProductReference.ForEachTap(s, (x, w, y) =>
        {
            for (int i = 0; i < s.InChannels; i++)
                expected[y] += (double)o.X.Address[x + i] * o.W.Address[w + i];
        });
        (Ptr bias, Ptr residual) = epilogue ? (o.Bias.Ptr, o.Residual.Ptr) : default;
        kernels.Conv3x3Forward(s, o.X.Ptr, o.W.Ptr, bias, residual, o.Y.Ptr);
        Assert.That(o.Y.RelativeError(expected), Is.LessThan(2e-6));
        Assert.That(o.Y.GuardsIntact());
    }

    [Test]
    public void BackwardData([ValueSource(nameof(Shapes))] ConvShape s, [Values] bool accumulate)
    {
        using var o = new Operands(s);
        double[] expected = new double[o.X.Length];
        for (int i = 0; i < expected.Length && accumulate; i++)
            expected[i] = o.X.Span[i];
        ProductReference.ForEachTap(s, (x, w, y) =>
        {
            for (int i = 0; i < s.InChannels; i++)
                expected[x + i] += (double)o.Y.Address[y] * o.W.Address[w + i];
        });
        kernels.Conv3x3BackwardData(s, o.Y.Ptr, o.W.Ptr, new Target(o.X.Ptr, accumulate));
        Assert.That(o.X.RelativeError(expected), Is.LessThan(2e-6));
        Assert.That(o.X.GuardsIntact());
    }

    [Test]
    public void BackwardWeight([ValueSource(nameof(Shapes))] ConvShape s, [Values] bool accumulate)
    {
        using var o = new Operands(s);
        double[] expected = new double[o.W.Length];
        for (int i = 0; i < expected.Length && accumulate; i++)
            expected[i] = o.W.Span[i];
        ProductReference.ForEachTap(s, (x, w, y) =>
        {
            for (int i = 0; i < s.InChannels; i++)
                expected[w + i] += (double)o.Y.Address[y] * o.X.Address[x + i];
        });
        double[] bias = [.. o.Bias.Span.ToArray().Select(b => accumulate ? (double)b : 0)];
        for (int i = 0; i < o.Y.Length; i++)
            bias[i % s.OutChannels] += o.Y.Span[i];
        kernels.Conv3x3BackwardWeight(s, o.X.Ptr, o.Y.Ptr, new Target(o.W.Ptr, accumulate), new Target(o.Bias.Ptr, accumulate));
        Assert.That(o.W.RelativeError(expected), Is.LessThan(2e-6));
        Assert.That(o.Bias.RelativeError(bias), Is.LessThan(2e-6));
        Assert.That(o.W.GuardsIntact());
    }

    [Test]
    public void BitsDoNotDependOnTheNumberOfThreads()
    {
        var s = new ConvShape(2, 12, 12, 48, 80);
        using Operands one = new(s), many = new(s);
        int threads = CpuThreads.Count;
        try
        {
            foreach (var (o, count) in new[] { (one, 1), (many, 5) })
            {
                CpuThreads.Count = count;
                kernels.Conv3x3BackwardWeight(s, o.X.Ptr, o.Y.Ptr, new Target(o.W.Ptr, true));
                kernels.Conv3x3Forward(s, o.X.Ptr, o.W.Ptr, o.Bias.Ptr, o.Residual.Ptr, o.Y.Ptr);
                kernels.Conv3x3BackwardData(s, o.Y.Ptr, o.W.Ptr, new Target(o.X.Ptr, false));
            }
        }
        finally
        {
            CpuThreads.Count = threads;
        }

        Assert.That(many.W.Span.SequenceEqual(one.W.Span));
        Assert.That(many.Y.Span.SequenceEqual(one.Y.Span));
        Assert.That(many.X.Span.SequenceEqual(one.X.Span));
    }

    [Test]
    public void NothingIsAllocatedOnceWarm([Values] bool upsample)
    {
        var s = new ConvShape(2, 12, 12, 32, 32, Upsample: upsample);
        using var o = new Operands(s);
        long before = 0;
        for (int round = 0; round < 3; round++)
        {
            before = GC.GetAllocatedBytesForCurrentThread();
            kernels.Conv3x3Forward(s, o.X.Ptr, o.W.Ptr, o.Bias.Ptr, default, o.Y.Ptr);
            kernels.Conv3x3BackwardData(s, o.Y.Ptr, o.W.Ptr, new Target(o.X.Ptr, false));
            kernels.Conv3x3BackwardWeight(s, o.X.Ptr, o.Y.Ptr, new Target(o.W.Ptr, false));
        }

        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    [Test]
    public void NoTargetNoWork()
    {
        var s = new ConvShape(1, 4, 4, 4, 4);
        Assert.That(() => kernels.Conv3x3BackwardData(s, default, default, Target.None), Throws.Nothing);
        Assert.That(() => kernels.Conv3x3BackwardWeight(s, default, default, Target.None), Throws.Nothing);
    }

    private sealed class Operands : IDisposable
    {
        private readonly ConvShape s;

        public Operands(ConvShape shape)
        {
            s = shape;
            var random = new Random(shape.GetHashCode() & 1023);
            X = Native.Random(random, s.Batch * s.Height * s.Width * s.InChannels, 1);
            W = Native.Random(random, s.OutChannels * 9 * s.InChannels, 2);
            Y = Native.Random(random, s.Batch * s.OutHeight * s.OutWidth * s.OutChannels, 3);
            Bias = Native.Random(random, s.OutChannels);
            Residual = Native.Random(random, Y.Length);
        }

        public Native X { get; }

        public Native W { get; }

        public Native Y { get; }

        public Native Bias { get; }

        public Native Residual { get; }

        public void Dispose()
        {
            foreach (Native n in new[] { X, W, Y, Bias, Residual })
                n.Dispose();
        }
    }
}

using Mdm.Kernels;
using Mdm.Kernels.Counting;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Tensors.Tests;

public sealed class CountingDeviceTests
{
    [Test]
    public void AProductCountsTwiceItsSizesForwardAndTwiceThatAndTheBiasBackward()
    {
        const int rows = 6, inputs = 7, outputs = 5, product = 2 * rows * inputs * outputs;
        KernelFamily[] families = Measure(out CountingKernels counter,
            [new(2, 3, inputs), new(outputs, inputs), new(outputs)], t => Op.Linear(t[0], t[1], t[2]));
        Assert.Multiple(() =>
        {
            Assert.That(counter.ByFamily[KernelFamily.Matrix], Is.EqualTo(new Work(3, 3 * product + rows * outputs,
                4 * (3 * (rows * inputs + outputs * inputs + rows * outputs) + 2 * outputs))));
            Assert.That(counter.ByKernel["MatMulBackwardWeight"].Operations, Is.EqualTo(product + rows * outputs));
            Assert.That(families, Has.Length.EqualTo(counter.Total.Calls));
        });
    }

    [TestCase(1, false)]
    [TestCase(2, false)]
    [TestCase(1, true)]
    public void AConvolutionCountsNineTaps(int stride, bool upsample)
    {
        const int inputs = 4, outputs = 3;
        Measure(out CountingKernels counter, [new(2, 5, 7, inputs), new(outputs, 3, 3, inputs), new(outputs)],
            t => Op.Conv3x3(t[0], t[1], t[2], stride, upsample));
        int pixels = upsample ? 10 * 14 : stride == 2 ? 3 * 4 : 5 * 7;
        long expected = 2L * 2 * pixels * outputs * 9 * inputs;
        Assert.Multiple(() =>
        {
            Assert.That(counter.ByKernel["Conv3x3Forward"].Operations, Is.EqualTo(expected));
            Assert.That(counter.ByKernel["Conv3x3BackwardData"].Operations, Is.EqualTo(expected));
            Assert.That(counter.ByKernel["Conv3x3BackwardWeight"].Operations, Is.EqualTo(expected + 2 * pixels * outputs));
        });
    }

    [Test]
    public void AttentionCountsTwoProductsForwardAndFiveBackward()
    {
        const int batch = 2, queries = 9, keys = 5, channels = 12;
        Measure(out CountingKernels counter, [new(batch, queries, 3 * channels), new(batch, keys, 2 * channels)],
            t => Op.CrossAttention(t[0], t[1], 3));
        Assert.That(counter.ByKernel["AttentionForward"].Operations, Is.EqualTo(2 * 2 * batch * queries * keys * channels));
        Assert.That(counter.ByKernel["AttentionBackward"].Operations, Is.EqualTo(5 * 2 * batch * queries * keys * channels));
    }

    [TestCaseSource(typeof(TestDevices), nameof(TestDevices.Names))]
    public void ThePeakIsThatOfARealDevice(string name)
    {
        foreach (bool checkpointed in new[] { false, true })
            Assert.That(Peak(new CountingDevice(), checkpointed), Is.EqualTo(Peak(Devices.Open(name), checkpointed)));

        static long Peak(IDevice device, bool checkpointed)
        {
            long before = device.Memory.InUse;
            using var training = new TinyTraining(device, checkpointed);
            device.ResetPeak();
            training.Gradients(batch: 3, height: 12, width: 9);
            return device.Memory.Peak - before;
        }
    }

    [Test]
    public void ACallCanBeAttributedToTheRunningModule()
    {
        using var device = new CountingDevice();
        using var training = new TinyTraining(device);
        device.Counter.Reset();
        var byModule = new Dictionary<string, Work>();
        device.Counter.Observer = call =>
        {
            if (Module.Running is { } module)
                byModule[module.Path] = byModule.GetValueOrDefault(module.Path) + call;
        };
        training.Gradients(batch: 1, height: 4, width: 4);
        // The result, the weight's and the bias's gradient; the image wants none. Then the same with an input that wants one.
        Assert.That(byModule["first"].Operations, Is.EqualTo(2 * (2 * 16 * 8 * 9 * 3) + 16 * 8));
        Assert.That(byModule["qkv"].Operations, Is.EqualTo(3 * (2 * 16 * 8 * 24) + 16 * 24));
    }

    [Test]
    public void NothingIsFreedThatWasNotAllocated()
    {
        using var device = new CountingDevice();
        nint a = device.Allocate(100), b = device.Allocate(1);
        Assert.That((long)a, Is.Positive.And.Not.EqualTo((long)b));
        Assert.That((long)(a % 64 + b % 64), Is.Zero);
        Assert.That(() => device.Free(a, 99), Throws.InvalidOperationException);
        device.Free(b, 1);
        Assert.That(() => device.Free(b, 1), Throws.InvalidOperationException);
        byte[] zeros = [1, 2, 3];
        device.Download(b, zeros);
        Assert.That(zeros, Is.All.Zero);
    }

    // Forward and backward of an operation on leaves of these shapes.
    private static KernelFamily[] Measure(out CountingKernels counter, Shape[] shapes, Func<Tensor[], Tensor> run)
    {
        var device = new CountingDevice();
        var families = new List<KernelFamily>();
        counter = device.Counter;
        using Scope scope = Scope.Enter();
        Tensor[] leaves = Array.ConvertAll(shapes, s => Tensor.Empty(device, s).AsLeaf());
        counter.Observer = call => families.Add(call.Family);
        using Tape tape = Tape.Start();
        tape.Backward(run(leaves));
        foreach (Tensor leaf in leaves)
            leaf.FreeGradient();
        Assert.That(device.Memory.InUse, Is.LessThan(device.Memory.Peak));
        return [.. families];
    }
}

using Mdm.Kernels;
using Mdm.Tensors.Modules;

namespace Mdm.Tensors.Tests;

[TestFixtureSource(typeof(TestDevices), nameof(TestDevices.Names))]
public sealed class ParameterStoreTests(string name)
{
    private IDevice Device => Devices.Open(name);

    [Test]
    public void TrainableParametersComeFirstInTheArenaAlignedAndPadded()
    {
        using var store = new ParameterStore();
        var root = new ModuleContext(store);
        Parameter a = (root / "block" / 0).Parameter("weight", new Shape(5), Initialisation.Ones);
        Parameter frozen = root.Parameter("frozen", new Shape(3), Initialisation.Ones);
        Parameter b = root.Parameter("b", new Shape(2, 9), Initialisation.Ones);
        frozen.Frozen = true;
        store.Place(Device, training: true);
        Assert.Multiple(() =>
        {
            Assert.That(store.Parameters.Select(p => p.Name), Is.EqualTo(new[] { "block.0.weight", "frozen", "b" }));
            Assert.That(store.ByName["b"], Is.SameAs(b));
            Assert.That(store.ParameterCount, Is.EqualTo(26));
            Assert.That(store.TrainableLength, Is.EqualTo(16 + 32));
            Assert.That(store.Values.Count, Is.EqualTo(16 + 32 + 16));
            Assert.That(store.Gradients!.Count, Is.EqualTo(16 + 32));
            Assert.That(Offset(a), Is.EqualTo(0));
            Assert.That(Offset(b), Is.EqualTo(64));
            Assert.That(Offset(frozen), Is.EqualTo(64 + 128));
            Assert.That((long)a.Value.Ptr.Address % 64, Is.EqualTo(0));
            Assert.That(a.Value.RequiresGradient && b.Value.RequiresGradient, Is.True);
            Assert.That(frozen.Value.RequiresGradient, Is.False);
            Assert.That(store.Values.ToArray().Sum(), Is.EqualTo(26), "the padding is zero");
            Assert.That(store.Gradients!.ToArray().Sum(), Is.EqualTo(0));
        });

        long Offset(Parameter p) => (long)p.Value.Ptr.Address - store.Values.Ptr.Address;
    }

    [Test]
    public void PlacedForInferenceThereAreNoGradients()
    {
        using var store = new ParameterStore();
        Parameter a = new ModuleContext(store).Parameter("a", new Shape(5), Initialisation.Ones);
        Assert.That(() => a.Value, Throws.InvalidOperationException.With.Message.Contains("a has no memory"));
        store.Place(Device, training: false);
        Assert.That(store.Gradients, Is.Null);
        Assert.That(a.Value.RequiresGradient, Is.False);
        Assert.That(() => new Adam(store, default), Throws.InvalidOperationException);
    }

    [Test]
    public void NamesAreUniqueAndPlacementHappensOnce()
    {
        using var store = new ParameterStore();
        var root = new ModuleContext(store);
        root.Parameter("a", new Shape(5), Initialisation.Ones);
        Assert.That(() => root.Parameter("a", new Shape(5), Initialisation.Ones),
            Throws.ArgumentException.With.Message.Contains("a"));
        store.Place(Device, training: true);
        Assert.That(() => store.Place(Device, training: true), Throws.InvalidOperationException);
        Assert.That(() => root.Parameter("late", new Shape(5), Initialisation.Ones), Throws.InvalidOperationException);
    }

    [Test]
    public void ConvolutionWeightsAreTransposedInFilesAndComeBackUnchanged()
    {
        const int outputs = 3, inputs = 5;
        using var store = new ParameterStore();
        _ = new Conv3x3(new ModuleContext(store) / "conv", inputs, outputs);
        store.Place(Device, training: true);
        Parameter weight = store.ByName["conv.weight"];
        float[] file = [.. Enumerable.Range(0, outputs * inputs * 9).Select(i => (float)i)];
        store.FromFileLayout(weight, file);
        float[] memory = weight.Value.ToArray();
        for (int o = 0; o < outputs; o++)
            for (int tap = 0; tap < 9; tap++)
                for (int i = 0; i < inputs; i++)
                    Assert.That(memory[(o * 9 + tap) * inputs + i], Is.EqualTo(file[(o * inputs + i) * 9 + tap]));
        Assert.That(store.ToFileLayout(weight), Is.EqualTo(file));
        Assert.That(weight.FileShape, Is.EqualTo(new Shape(outputs, inputs, 3, 3)));
        Assert.That(() => store.FromFileLayout(weight, file[1..]),
            Throws.ArgumentException.With.Message.Contains("conv.weight"));
    }

    [Test]
    public void AnotherArenaOfTheSameLayoutIsReadAndWrittenButHoldsNoFrozenParameters()
    {
        using var store = new ParameterStore();
        var root = new ModuleContext(store);
        Parameter trained = root.Parameter("trained", new Shape(4), Initialisation.Ones);
        Parameter frozen = root.Parameter("frozen", new Shape(4), Initialisation.Ones);
        frozen.Frozen = true;
        store.Place(Device, training: true);
        using var adam = new Adam(store, default);
        store.FromFileLayout(trained, [1, 2, 3, 4], adam.Ema);
        store.FromFileLayout(frozen, [5, 6, 7, 8], adam.Ema);
        Assert.Multiple(() =>
        {
            Assert.That(store.ToFileLayout(trained, adam.Ema), Is.EqualTo(new float[] { 1, 2, 3, 4 }));
            Assert.That(store.ToFileLayout(trained), Is.EqualTo(new float[] { 1, 1, 1, 1 }));
            Assert.That(store.ToFileLayout(frozen, adam.Ema), Is.EqualTo(new float[] { 5, 6, 7, 8 }));
            Assert.That(store.ToFileLayout(frozen), Is.EqualTo(new float[] { 5, 6, 7, 8 }));
        });
    }

    [Test]
    public void FreshWeightsAreUniformWithinTheirFanInAndDoNotDependOnTheOrderOfDeclaration()
    {
        using var store = new ParameterStore();
        _ = new Linear(new ModuleContext(store) / "big", 64, 100);
        _ = new Linear(new ModuleContext(store) / "zero", 64, 2, zero: true);
        store.Place(Device, training: true, seed: 9);
        float[] weight = store.ByName["big.weight"].Value.ToArray();
        Assert.Multiple(() =>
        {
            Assert.That(weight.Max(Math.Abs), Is.LessThanOrEqualTo(1 / 8f).And.GreaterThan(0.124f));
            Assert.That(weight.Average(), Is.Zero.Within(5 * 0.125 / Math.Sqrt(3 * 6400)));
            Assert.That(weight.Average(w => w * w), Is.EqualTo(0.125 * 0.125 / 3).Within(3).Percent);
            Assert.That(weight.Distinct().Count(), Is.GreaterThan(6300));
            Assert.That(store.ByName["zero.weight"].Value.ToArray(), Is.All.Zero);
        });

        using var other = new ParameterStore();
        new ModuleContext(other).Parameter("before", new Shape(7), Initialisation.FanIn, 3);
        _ = new Linear(new ModuleContext(other) / "big", 64, 100);
        other.Place(Device, training: false, seed: 9);
        Assert.That(other.ByName["big.weight"].Value.ToArray(), Is.EqualTo(weight));
    }

    [Test]
    public void AStoreThatDidNotFitCanStillBeDisposed()
    {
        using var device = new Mdm.Kernels.Cpu.CpuDevice(limit: 10_000);
        var store = new ParameterStore();
        new ModuleContext(store).Parameter("a", new Shape(100, 100), Initialisation.Ones);
        Assert.That(() => store.Place(device, training: true), Throws.InstanceOf<OutOfMemoryException>());
        Assert.That(store.Dispose, Throws.Nothing);
        Assert.That(device.Memory.InUse, Is.Zero);
    }

    [Test]
    public void DisposingFreesTheArenas()
    {
        long before = Device.Memory.InUse;
        new TinyTraining(Device).Dispose();
        Assert.That(Device.Memory.InUse, Is.EqualTo(before));
    }
}

using Mdm.Kernels;

namespace Mdm.Tensors.Tests;

/// <summary>Properties of many steps of a small network.</summary>
[TestFixtureSource(typeof(TestDevices), nameof(TestDevices.Names))]
public sealed class TrainingLoopTests(string name)
{
    private IDevice Device => Devices.Open(name);

    [Test]
    public void TheSteadyStateTakesNoNewMemoryAndTheLossFalls()
    {
        using var training = new TinyTraining(Device);
        float first = training.Step();
        training.Step();
        MemoryStatistics settled = Device.Memory;
        float last = 0;
        for (int i = 0; i < 50; i++)
            last = training.Step();
        Assert.Multiple(() =>
        {
            Assert.That(Device.Memory.Reserved, Is.EqualTo(settled.Reserved));
            Assert.That(Device.Memory.Peak, Is.EqualTo(settled.Peak));
            Assert.That(Device.Memory.InUse, Is.EqualTo(settled.InUse));
            Assert.That(last, Is.LessThan(first / 2));
            Assert.That(training.Optimiser.Read().Steps, Is.EqualTo(52));
        });
    }

    [Test]
    public void TwoRunsAgreeToTheBit()
    {
        float[] first = Run(), second = Run();
        Assert.That(second, Is.EqualTo(first));

        float[] Run()
        {
            using var training = new TinyTraining(Device);
            for (int i = 0; i < 5; i++)
                training.Step();
            return [.. training.Store.Values.ToArray(), .. training.Optimiser.Ema!.ToArray()];
        }
    }
}

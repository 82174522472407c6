using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Tests.Golden;
using Mdm.Model.Tests.Training;
using Mdm.Model.Training;
using Mdm.Tensors;

namespace Mdm.CudaEmulator.Tests;

/// <summary>The trainer with all that belongs to it (data, text, dropout) on the emulated GPU.</summary>
public sealed class TrainerTests
{
    private static IDevice Gpu => Devices.Open("cuda");

    [TearDown]
    public void ChooseTheUsual() => Planted.SetOrder("shuffle");

    [Test]
    public void ANestedRunEqualsThatOfTheProcessor()
    {
        using var run = new TinyRun();
        Dictionary<string, float[]> expected = Train(run, Devices.Open("cpu"), "cpu", out float[] losses);
        long before = Gpu.Memory.InUse;
        Dictionary<string, float[]> found = Train(run, Gpu, "cuda", out float[] foundLosses);
        Assert.That(Gpu.Memory.InUse, Is.EqualTo(before), "bytes in use afterwards");
        Assert.That(Close.Error(foundLosses, losses), Is.LessThan(Close.Gradient));
        float[] all = [.. expected.OrderBy(w => w.Key, StringComparer.Ordinal).SelectMany(w => w.Value)];
        Assert.That(Close.Error([.. found.OrderBy(w => w.Key, StringComparer.Ordinal).SelectMany(w => w.Value)], all),
            Is.LessThan(1e-3)); // Adam's first steps turn the rounding of tiny gradients into whole steps
    }

    [Test]
    public void ARunIsRepeatedBitForBitInAnotherOrderOfThreads()
    {
        using var run = new TinyRun();
        Dictionary<string, float[]> first = Train(run, Gpu, "first", out _);
        Planted.SetOrder("reverse");
        TinyRun.AssertSame(Train(run, Gpu, "second", out _), first);
    }

    private static Dictionary<string, float[]> Train(TinyRun run, IDevice device, string output, out float[] losses)
    {
        var seen = new Recorder();
        ProgramConfig config = run.Config(output, c => c.NumTrainingSteps = 4);
        using var trainer = new Trainer(config, device, new TrainerOptions { Observer = seen });
        trainer.Run();
        losses = [.. seen.Steps.Select(s => (float)s.Loss)];
        return TinyRun.Weights(trainer.Network.Store);
    }
}

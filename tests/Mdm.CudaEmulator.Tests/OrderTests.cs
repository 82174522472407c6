using Mdm.Model.Networks;
using Mdm.Model.Tests.Golden;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.CudaEmulator.Tests;

[EmulatorOnly]
public sealed class OrderTests
{
    [TearDown]
    public void ChooseTheUsual() => Planted.SetOrder("shuffle");

    /// <summary>Kernels whose threads race, or sum in an order that is not fixed, would differ.</summary>
    [Test]
    public void EveryOrderOfThreadsAndBlocksGivesANestedNetworkTheSameBits()
    {
        using GoldenFile file = GoldenFile.Open("nested_2.io.safetensors");
        using DenoisingNetwork network = GoldenModel.Load("nested_2", training: true);
        float[] expected = [];
        foreach (string order in (string[])["forward", "reverse", "shuffle:1", "shuffle:2"])
        {
            Planted.SetOrder(order);
            float[] found = OutputsAndGradients(network, file);
            Assert.That(found, Has.Some.Not.Zero.And.None.NaN);
            if (expected.Length == 0)
                expected = found;
            Assert.That(found.AsSpan().SequenceEqual(expected), $"bits with {order} and forward");
        }
    }

    [Test]
    public void TheProgramStillSeesItsOwnFaults()
    {
        using var planted = new Planted("extern \"C\" __global__ void k(float* y) { y[0] = 1.0f; }");
        Assert.That(planted.Launch("k", 1, 1, 0, (long)Planted.Allocate(4)), Is.Zero); // the emulator handles signals now
        Assert.Throws<NullReferenceException>(() => Read(null!));

        static int Read(int[] values) => values[1];
    }

    private static float[] OutputsAndGradients(DenoisingNetwork network, GoldenFile file)
    {
        network.Store.ZeroGradients();
        using Scope scope = Scope.Enter();
        using Tape tape = Tape.Start();
        string[] suffixes = [".0", ".1"];
        float[] times = Array.ConvertAll(file.Integers("times"), t => (float)t);
        var input = new NetworkInput(
            [.. suffixes.Select(suffix => file.Tensor(GoldenModel.Device, $"x_t{suffix}"))],
            Tensor.From(GoldenModel.Device, times, new Shape(times.Length)), GoldenModel.TextOf(file),
            file.Names.Where(name => name.StartsWith("micros."))
                .ToDictionary(name => name["micros.".Length..], name => file.Tensor(GoldenModel.Device, name)));
        IReadOnlyList<Tensor> outputs = network.Call(input).Predictions;
        Tensor[] losses = [.. outputs.Select((y, k) =>
            Op.Mean(Op.MeanSquaredError(y, file.Tensor(GoldenModel.Device, $"target{suffixes[k]}"))))];
        tape.Backward(Op.Add(losses[0], losses[1]));
        return [.. outputs.SelectMany(y => y.ToArray()), .. network.Store.Gradients!.ToArray()];
    }
}

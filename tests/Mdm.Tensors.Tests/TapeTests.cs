using Mdm.Kernels;
using Mdm.Tensors.Operations;

namespace Mdm.Tensors.Tests;

public sealed class TapeTests(string name) : MemoryFixture(name)
{
    [Test]
    public void ForwardAndBackwardFreeEverythingButTheParameters()
    {
        using var training = new TinyTraining(Device);
        long placed = Device.Memory.InUse;
        training.Gradients();
        Assert.That(Device.Memory.InUse, Is.EqualTo(placed));
    }

    [Test]
    public void ForwardWithoutBackwardFreesWhatTheTapeSaved()
    {
        using Scope scope = Scope.Enter();
        Tensor x = Tensor.Zeros(Device, new Shape(4)).AsLeaf();
        using Tape tape = Tape.Start();
        using (Scope.Enter())
            _ = Op.Silu(Op.Silu(x));
        Assert.That(Device.Memory.InUse, Is.EqualTo(Before + 32), "x, and the first result that the second saved");
    }

    [TestCase(false)]
    [TestCase(true)]
    public void AnExceptionInBackwardLeavesNothingBehind(bool checkpointed)
    {
        using (Scope.Enter())
        {
            Tensor x = Tensor.Zeros(Device, new Shape(2, 8)).AsLeaf();
            Assert.That(() =>
            {
                using Tape tape = Tape.Start();
                Tensor Middle(Tensor t) => Failing(Op.Silu(t));
                Tensor y = Op.Silu(checkpointed ? Tape.Checkpoint(t => Middle(t[0]), Op.Silu(x)) : Middle(Op.Silu(x)));
                tape.Backward(Op.Sum(y));
            }, Throws.InvalidOperationException.With.Message.EqualTo("on the way back"));
            Assert.That(Tape.IsRecording, Is.False);
            x.FreeGradient();
        }

        using var training = new TinyTraining(Device);
        Assert.That(training.Step(), Is.GreaterThan(0), "a step afterwards");
    }

    private static Tensor Failing(Tensor x) => Tape.Record(
        Tape.Paused(() => Op.Scale(x, 1)), [x], saved: [x], _ => throw new InvalidOperationException("on the way back"));

    [Test]
    public void BackwardFreesSavedTensorsAsItPasses()
    {
        const int layers = 16, bytes = 4000;
        long peak = PeakOfChain(layers, bytes, segment: 1, checkpointed: false);
        // The input and the results of all layers, and two gradients; no gradient of every layer beside them.
        Assert.That(peak / (double)bytes, Is.InRange(layers, layers + 4));
    }

    [Test]
    public void CheckpointsLowerThePeak()
    {
        const int layers = 16, segment = 4, bytes = 4000;
        long peak = PeakOfChain(layers, bytes, segment, checkpointed: true);
        Assert.That(peak / (double)bytes, Is.InRange(layers / segment, layers / segment + segment + 6));
    }

    private long PeakOfChain(int layers, int bytes, int segment, bool checkpointed)
    {
        using Scope scope = Scope.Enter();
        Tensor x = Tensor.Zeros(Device, new Shape(bytes / 4)).AsLeaf();
        Device.ResetPeak();
        using Tape tape = Tape.Start();
        Tensor y = x;
        for (int i = 0; i < layers / segment; i++)
        {
            using Scope layer = Scope.Enter();
            y = layer.Return(checkpointed ? Tape.Checkpoint(t => Chain(t[0], segment), y) : Chain(y, segment));
        }

        tape.Backward(y, Tensor.Zeros(Device, y.Shape));
        x.FreeGradient();
        return Device.Memory.Peak - Before;
    }

    private static Tensor Chain(Tensor x, int layers)
    {
        for (int i = 0; i < layers; i++)
            x = Op.Silu(x);
        return x;
    }

    [Test]
    public void ACheckpointedNetworkHasTheSameGradientsToTheBit()
    {
        using var plain = new TinyTraining(Device);
        using var checkpointed = new TinyTraining(Device, checkpointed: true);
        for (int i = 0; i < 2; i++)
        {
            Assert.That(checkpointed.Gradients(), Is.EqualTo(plain.Gradients()), "loss");
            Assert.That(checkpointed.Store.Gradients!.ToArray(), Is.EqualTo(plain.Store.Gradients!.ToArray()));
        }

        Assert.That(plain.Store.Gradients!.ToArray().Count(g => g != 0), Is.GreaterThan(1000));
    }

    [Test]
    public void ACheckpointThatPassesItsInputOnIsTheIdentity()
    {
        using Scope scope = Scope.Enter();
        Tensor x = Tensor.From(Device, [1f, 2f], new Shape(2)).AsLeaf();
        using Tape tape = Tape.Start();
        tape.Backward(Op.Sum(Op.Multiply(Tape.Checkpoint(t => t[0], Op.Scale(x, 3)), x)));
        Assert.That(x.Gradient!.ToArray(), Is.EqualTo(new float[] { 6, 12 }));
        x.FreeGradient();
    }

    [Test]
    public void ACheckpointWithSeveralInputsGivesEachItsGradient()
    {
        using Scope scope = Scope.Enter();
        Tensor a = Tensor.From(Device, [1f, 2f], new Shape(2)).AsLeaf();
        Tensor b = Tensor.From(Device, [5f, -3f], new Shape(2)).AsLeaf();
        Tensor fixedOne = Tensor.From(Device, [10f, 10f], new Shape(2));
        using Tape tape = Tape.Start();
        Tensor y = Tape.Checkpoint(t => Op.Add(Op.Multiply(t[0], t[1]), Op.Multiply(t[2], t[3])), a, b, fixedOne, a);
        tape.Backward(Op.Sum(y));
        Assert.That(a.Gradient!.ToArray(), Is.EqualTo(new float[] { 15, 7 }));
        Assert.That(b.Gradient!.ToArray(), Is.EqualTo(new float[] { 1, 2 }));
        a.FreeGradient();
        b.FreeGradient();
    }

    [Test]
    public void ASharedGradientIsCopiedBeforeItIsAddedTo()
    {
        using Scope scope = Scope.Enter();
        Tensor a = Tensor.From(Device, [1f, 2f], new Shape(2)).AsLeaf(), b = Tensor.From(Device, [3f, 4f], new Shape(2)).AsLeaf();
        using Tape tape = Tape.Start();
        Tensor late = Op.Multiply(a, a);
        // The residual sum hands one gradient to a, b and (through the second sum) to late; then late adds to a's.
        Tensor y = Op.Add(Op.Add(a, b), late);
        tape.Backward(y, Tensor.From(Device, [1f, 10f], new Shape(2)));
        Assert.That(a.Gradient!.ToArray(), Is.EqualTo(new float[] { 3, 50 }));
        Assert.That(b.Gradient!.ToArray(), Is.EqualTo(new float[] { 1, 10 }));
        a.FreeGradient();
        b.FreeGradient();
    }

    [Test]
    public void NothingIsRecordedWithoutATapeOrWithoutNeed()
    {
        using Scope scope = Scope.Enter();
        Tensor x = Tensor.From(Device, [1f], new Shape(1)), leaf = x.AsLeaf();
        Assert.That(Op.Silu(leaf).RequiresGradient, Is.False, "no tape");
        using Tape tape = Tape.Start();
        Assert.That(Op.Silu(x).RequiresGradient, Is.False, "no leaf");
        Assert.That(Tape.Paused(() => Op.Silu(leaf)).RequiresGradient, Is.False, "paused");
        Assert.That(Op.Silu(leaf.WithoutGradient()).RequiresGradient, Is.False, "cut");
        Assert.That(Op.Silu(leaf).RequiresGradient, Is.True);
        Assert.That(() => tape.Backward(x), Throws.InvalidOperationException);
    }

    [Test]
    public void AReshapedTensorSharesItsGradient()
    {
        using Scope scope = Scope.Enter();
        Tensor x = Tensor.From(Device, [1f, 2f, 3f, 4f], new Shape(4)).AsLeaf();
        using Tape tape = Tape.Start();
        Tensor y = Op.Multiply(x.Reshape(2, 2), x.Reshape(2, 2));
        tape.Backward(Op.Sum(Op.SumPerSample(y.Reshape(4))));
        Assert.That(x.Gradient!.ToArray(), Is.EqualTo(new float[] { 2, 4, 6, 8 }));
        x.FreeGradient();
    }
}

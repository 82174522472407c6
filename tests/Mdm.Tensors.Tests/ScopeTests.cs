using Mdm.Kernels;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Operations;

namespace Mdm.Tensors.Tests;

public sealed class ScopeTests(string name) : MemoryFixture(name)
{
    [Test]
    public void AScopeFreesWhatWasMadeInIt()
    {
        using (Scope.Enter())
        {
            Tensor x = Tensor.Zeros(Device, new Shape(10, 10));
            _ = Op.Add(x, x);
            Assert.That(Device.Memory.InUse, Is.EqualTo(Before + 800));
        }

        Assert.That(Device.Memory.InUse, Is.EqualTo(Before));
    }

    [Test]
    public void AReturnedTensorLivesUntilTheScopeAroundEnds()
    {
        Tensor y;
        using (Scope.Enter())
        {
            using (Scope inner = Scope.Enter())
                y = inner.Return(Op.Scale(Tensor.From(Device, [1f, 2f, 3f], new Shape(3)), 2));
            Assert.That(y.ToArray(), Is.EqualTo(new float[] { 2, 4, 6 }));
            Assert.That(Device.Memory.InUse, Is.EqualTo(Before + 12));
        }

        Assert.That(() => y.ToArray(), Throws.TypeOf<ObjectDisposedException>());
    }

    [Test]
    public void ATensorReturnedFromTheOutermostScopeBelongsToTheCaller()
    {
        Tensor y;
        using (Scope scope = Scope.Enter())
            y = scope.Return(Tensor.From(Device, [1f, 2f], new Shape(2)));
        Assert.That(y.ToArray(), Is.EqualTo(new float[] { 1, 2 }));
        y.Dispose();
        y.Dispose();
    }

    [Test]
    public void UsingAFreedTensorThrows()
    {
        Tensor x = Tensor.Zeros(Device, new Shape(3));
        x.Dispose();
        using Scope scope = Scope.Enter();
        Assert.Multiple(() =>
        {
            Assert.That(() => x.Ptr, Throws.TypeOf<ObjectDisposedException>());
            Assert.That(() => x.Reshape(1, 3), Throws.TypeOf<ObjectDisposedException>());
            Assert.That(() => Op.Silu(x), Throws.TypeOf<ObjectDisposedException>());
        });
    }

    [Test]
    public void AViewKeepsTheMemoryOfAFreedTensor()
    {
        Tensor x = Tensor.From(Device, [1f, 2f, 3f, 4f], new Shape(4));
        Tensor view = x.Reshape(2, -1);
        x.Dispose();
        Assert.That(view.Shape, Is.EqualTo(new Shape(2, 2)));
        Assert.That(view.ToArray(), Is.EqualTo(new float[] { 1, 2, 3, 4 }));
        view.Dispose();
    }

    [Test]
    public void ScopesMustEndInOrder()
    {
        Scope outer = Scope.Enter(), inner = Scope.Enter();
        Assert.That(outer.Dispose, Throws.InvalidOperationException);
        inner.Dispose();
        outer.Dispose();
    }

    [Test]
    public void AnExceptionInAModuleFreesItsTensorsAndLeavesNoModuleRunning()
    {
        using var store = new ParameterStore();
        var network = new TinyNetwork(new ModuleContext(store));
        store.Place(Device, training: false);
        long placed = Device.Memory.InUse;
        using (Scope.Enter())
        {
            Tensor wrong = Tensor.Zeros(Device, new Shape(1, 4, 4, 5));
            Assert.That(() => network.Call(wrong), Throws.ArgumentException);
            Assert.That(Module.Running, Is.Null);
        }

        Assert.That(Device.Memory.InUse, Is.EqualTo(placed));
        Assert.That(Scope.Current, Is.Null);
    }

    [Test]
    public void ADetachedTensorBelongsToNoScope()
    {
        Tensor x;
        using (Scope.Enter())
            x = Scope.Detach(Tensor.From(Device, [5f], new Shape(1)));
        Assert.That(x.ToArray(), Is.EqualTo(new[] { 5f }));
        x.Dispose();
    }

    [Test]
    public void WrongSizesAreRefused()
    {
        using Scope scope = Scope.Enter();
        Tensor x = Tensor.Zeros(Device, new Shape(2, 3));
        Assert.Multiple(() =>
        {
            Assert.That(() => x.Reshape(4, -1), Throws.ArgumentException.With.Message.Contains("[2, 3]"));
            Assert.That(() => x.CopyFrom([1, 2]), Throws.ArgumentException.With.Message.Contains("[2, 3]"));
            Assert.That(() => Tensor.From(Device, [1f], new Shape(2)), Throws.ArgumentException.With.Message.Contains("[2]"));
            Assert.That(() => new Shape(2, -1), Throws.ArgumentException);
        });
    }
}

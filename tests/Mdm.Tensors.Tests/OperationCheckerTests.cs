using Mdm.Kernels;
using Mdm.Tensors.Checks;
using Mdm.Tensors.Operations;

namespace Mdm.Tensors.Tests;

/// <summary>The checker must find operations that are wrong.</summary>
public sealed class OperationCheckerTests
{
    private static readonly CaseInput s_x = CaseInput.Variable("x", new Shape(6, 50));
    private static readonly CaseInput s_y = CaseInput.Variable("y", new Shape(6, 50));

    [Test]
    public void FindsAWrongResult() =>
        Assert.That(FaultOf(t => Op.Multiply(t[0], Op.Scale(t[1], 1.001f))), Does.StartWith("forward error 1.0e-3"));

    [Test]
    public void FindsAGradientWithAWrongFactor() =>
        Assert.That(FaultOf(t => Product(t, 1.001f, t[0].Count)), Does.StartWith("gradient of x: error 1."));

    [Test]
    public void FindsAGradientThatMissesOneElementInAHundred() =>
        Assert.That(FaultOf(t => Product(t, 1, t[0].Count - 3)), Does.StartWith("gradient of x: error "));

    [Test]
    public void FindsAGradientThatReplacesAnEarlierOne() =>
        Assert.That(FaultOf(t => Product(t, 1, t[0].Count, accumulate: false)),
            Does.StartWith("gradient of x added to an earlier one"));

    [Test]
    public void FindsAChangedOperand() => Assert.That(FaultOf(t =>
    {
        Tensor z = Op.Multiply(t[0], t[1]);
        t[1].Kernels.Fill(1, 7, t[1].Ptr);
        return z;
    }), Is.Not.Null);

    [Test]
    public void FindsAWrongSize() => Assert.That(FaultOf(t => Op.SumPerSample(t[0])), Does.Contain("6 elements, expected 300"));

    [Test]
    public void FindsAMissingOrDifferentRefusal()
    {
        IDevice device = Devices.Open("cpu");
        OperationCase Refused(string error) =>
            OperationCase.Refused("Multiply", error, [s_x, s_y], t => Op.Multiply(t[0], t[1]), error);
        Assert.That(OperationChecker.Check(Refused("no"), device).Fault, Is.EqualTo("accepted, expected the error \"no\""));
        OperationCase other = OperationCase.Refused("Multiply", "other", [s_x, CaseInput.Variable("y", new Shape(6))],
            t => Op.Multiply(t[0], t[1]), "colours");
        Assert.That(OperationChecker.Check(other, device).Fault, Does.Contain("should be equal\", expected \"colours\""));
    }

    private static string? FaultOf(Func<Tensor[], Tensor> multiply)
    {
        OperationCase test = OperationCase.Of("Multiply", "wrong", [s_x, s_y], multiply,
            t => t[0].Zip(t[1], (a, b) => a * b).ToArray());
        return OperationChecker.Check(test, Devices.Open("cpu")).Fault;
    }

    // A product whose gradient with respect to the first factor is multiplied by something and stops early.
    private static Tensor Product(Tensor[] t, float factor, long count, bool accumulate = true)
    {
        (Tensor x, Tensor y) = (t[0], t[1]);
        Tensor z = Tape.Paused(() => Op.Multiply(x, y));
        return Tape.Record(z, [x, y], saved: [x, y], dz =>
        {
            x.Kernels.Multiply(x.Count, dz.Ptr, x.Ptr, dz.Target(y));
            Target dx = dz.Target(x);
            if (dx.IsNone)
                return;
            if (!dx.Accumulate)
                x.Kernels.Zero(x.Count * sizeof(float), dx.Ptr.Address);
            Tensor product = Tape.Paused(() => Op.Scale(y, factor));
            x.Kernels.Multiply(count, dz.Ptr, product.Ptr, dx with { Accumulate = accumulate && dx.Accumulate });
        });
    }
}

using Mdm.Kernels;
using Mdm.Tensors;
using Mdm.Tensors.Checks;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Every case of the operation table with the CUDA kernels, whose threads and blocks run in the named order.</summary>
[TestFixture("shuffle")]
[TestFixture("reverse")]
public sealed class OperationTests(string order)
{
    private static IEnumerable<TestCaseData> Cases() =>
        from type in (DType[])[DType.Float32, DType.BFloat16]
        from test in OperationTable.In(type)
        select new TestCaseData(type, test).SetArgDisplayNames($"{type}", test.ToString());

    [OneTimeSetUp]
    public void Choose()
    {
        if (EmulatorSetUp.OnGpu && order != "shuffle")
            Assert.Ignore("a GPU has an order of its own");
        Planted.SetOrder(order);
    }

    [OneTimeTearDown]
    public void ChooseTheUsual() => Planted.SetOrder("shuffle");

    [TearDown]
    public void ForgetError() => Planted.ForgetError();

    [TestCaseSource(nameof(Cases))]
    public void Case(DType type, OperationCase test)
    {
        IDevice device = Devices.Open("cuda");
        long before = device.Memory.InUse;
        CaseResult result = OperationChecker.Check(test, device, type);
        Assert.That(result.Fault, Is.Null);
        Assert.That(device.Memory.InUse, Is.EqualTo(before), "bytes in use afterwards");
    }
}

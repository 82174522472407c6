using Mdm.Kernels;
using Mdm.Tensors;
using Mdm.Tensors.Checks;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Every case of the operation table with the CUDA kernels, whose threads and blocks run in the named order.</summary>
[TestFixture(DType.Float32, "shuffle")]
[TestFixture(DType.Float32, "reverse")]
[TestFixture(DType.BFloat16, "shuffle")]
public sealed class OperationTests(DType type, string order)
{
    private static IEnumerable<TestCaseData> Cases() =>
        OperationTable.All.Select(test => new TestCaseData(test).SetArgDisplayNames(test.ToString()));

    [OneTimeSetUp]
    public void Choose() => Planted.SetOrder(order);

    [OneTimeTearDown]
    public void ChooseTheUsual() => Planted.SetOrder("shuffle");

    [TearDown]
    public void ForgetError() => Planted.ForgetError();

    [TestCaseSource(nameof(Cases))]
    public void Case(OperationCase test)
    {
        if (!OperationTable.In(type).Contains(test))
            Assert.Ignore($"not a case of {type}");
        IDevice device = Devices.Open("cuda");
        long before = device.Memory.InUse;
        CaseResult result = OperationChecker.Check(test, device, type);
        Assert.That(result.Fault, Is.Null);
        Assert.That(device.Memory.InUse, Is.EqualTo(before), "bytes in use afterwards");
    }
}

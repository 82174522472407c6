using Mdm.Kernels;
using Mdm.Tensors;
using Mdm.Tensors.Checks;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Every case of the operation table with the CUDA kernels, which see their threads in a shuffled order.</summary>
[TestFixture(DType.Float32)]
[TestFixture(DType.BFloat16)]
public sealed class OperationTests(DType type)
{
    private static IEnumerable<TestCaseData> Cases() =>
        OperationTable.All.Select(test => new TestCaseData(test).SetArgDisplayNames(test.ToString()));

    [TearDown]
    public void ForgetError() => Planted.ForgetError();

    [TestCaseSource(nameof(Cases))]
    public void Case(OperationCase test)
    {
        IDevice device = Devices.Open("cuda");
        long before = device.Memory.InUse;
        CaseResult result = OperationChecker.Check(test, device, type);
        Assert.That(result.Fault, Is.Null);
        Assert.That(device.Memory.InUse, Is.EqualTo(before), "bytes in use afterwards");
    }
}

using System.Reflection;
using Mdm.Kernels;
using Mdm.Kernels.Cpu;
using Mdm.Tensors.Checks;
using Mdm.Tensors.Operations;

namespace Mdm.Tensors.Tests;

/// <summary>Every case of the operation table on every device that is present, and on the processor with every instruction
/// set.</summary>
[TestFixture("cpu", CpuLevel.Plain)]
[TestFixture("cpu", CpuLevel.Avx2)]
[TestFixture("cpu", CpuLevel.Avx512)]
public sealed class OperationTableTests(string device, CpuLevel level)
{
    private CpuLevel _before;

    [OneTimeSetUp]
    public void ChooseLevel()
    {
        _before = CpuFeatures.Level;
        if (level > CpuFeatures.Best)
            Assert.Ignore($"this processor has no {level}");
        CpuFeatures.Level = level;
    }

    [OneTimeTearDown]
    public void RestoreLevel() => CpuFeatures.Level = _before;

    private static IEnumerable<TestCaseData> Cases() =>
        OperationTable.All.Select(test => new TestCaseData(test).SetArgDisplayNames(test.ToString()));

    [TestCaseSource(nameof(Cases))]
    public void Case(OperationCase test)
    {
        IDevice place = Devices.Open(device);
        long before = place.Memory.InUse;
        CaseResult result = OperationChecker.Check(test, place);
        Assert.That(result.Fault, Is.Null);
        Assert.That(place.Memory.InUse, Is.EqualTo(before), "bytes in use afterwards");
    }
}

public sealed class OperationTableContentTests
{
    [Test]
    public void EveryOperationHasCasesAndEveryCaseIsNamedOnce()
    {
        MethodInfo[] methods = typeof(Op).GetMethods(BindingFlags.Public | BindingFlags.Static);
        string[] operations = [.. methods.Select(m => m.Name).Distinct()];
        Assert.That(operations, Is.Not.Empty);
        Assert.That(operations, Is.SubsetOf(OperationTable.All.Where(c => c.Reference != null).Select(c => c.Operation)));
        Assert.That(OperationTable.All.Select(c => c.ToString()), Is.Unique);
    }

    [Test]
    public void RowsForPrintingAreFilteredAndTimed()
    {
        GradientCheck.Row[] rows = [.. GradientCheck.Run(Devices.Open("cpu"), "multiply: [2, 3")];
        Assert.That(rows, Has.Length.EqualTo(1));
        Assert.Multiple(() =>
        {
            Assert.That(rows[0].Operation, Is.EqualTo("Multiply"));
            Assert.That(rows[0].Case, Is.EqualTo("[2, 3, 5]"));
            Assert.That(rows[0].Verdict, Is.EqualTo("ok"));
            Assert.That(rows[0].ForwardError, Is.LessThan(1e-6));
            Assert.That(rows[0].BackwardError, Is.LessThan(1e-6));
            Assert.That(rows[0].Seconds, Is.GreaterThan(0));
        });
    }
}

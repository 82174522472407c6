using Mdm.Kernels.Cpu;

namespace Mdm.Kernels.Tests.Cpu;

/// <summary>Runs the tests of a class with one instruction set; skipped where the processor lacks it.</summary>
[NonParallelizable]
public abstract class CpuLevelFixture(CpuLevel level)
{
    private CpuLevel before;

    [OneTimeSetUp]
    public void ChooseLevel()
    {
        before = CpuFeatures.Level;
        if (level > CpuFeatures.Best)
            Assert.Ignore($"this processor has no {level}");
        CpuFeatures.Level = level;
    }

    [OneTimeTearDown]
    public void RestoreLevel() => CpuFeatures.Level = before;
}

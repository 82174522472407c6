using NUnit.Framework.Interfaces;
using NUnit.Framework.Internal;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Marks tests that mean something on the emulator only: they plant faults, or ask it what it saw. On a GPU they are left
/// out, whatever filter the runner was given; a planted fault would end the context of all others.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
internal sealed class EmulatorOnlyAttribute : NUnitAttribute, IApplyToTest
{
    public void ApplyToTest(Test test)
    {
        if (!EmulatorSetUp.OnGpu)
            return;
        test.RunState = RunState.Ignored;
        test.Properties.Set(PropertyNames.SkipReason, "for the emulator only");
    }
}

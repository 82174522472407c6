using Mdm.Kernels;

namespace Mdm.Tensors.Tests;

/// <summary>Runs every test of a fixture on each device; a test must leave no memory in use.</summary>
[TestFixtureSource(typeof(TestDevices), nameof(TestDevices.Names))]
public abstract class MemoryFixture(string name)
{
    /// <summary>Bytes in use when the test began.</summary>
    protected long Before { get; private set; }

    protected IDevice Device => Devices.Open(name);

    [SetUp]
    public void Remember() => Before = Device.Memory.InUse;

    [TearDown]
    public void NothingIsLeft() => Assert.That(Device.Memory.InUse, Is.EqualTo(Before), "bytes in use afterwards");
}

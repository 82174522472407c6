using Mdm.Kernels;

namespace Mdm.Tensors.Tests;

public sealed class DevicesTests
{
    [Test]
    public void ADeviceIsOneObjectUnderAnySpellingOfItsName() =>
        Assert.That(Devices.Open(" CPU "), Is.SameAs(Devices.Open("cpu")));

    [Test]
    public void AnUnknownNameIsAnsweredWithTheKnownOnes() =>
        Assert.That(() => Devices.Open("gpu"), Throws.TypeOf<MdmException>().With.Message.EqualTo(
            "device 'gpu' is not known, expected one of: " + Devices.Names));

    [Test]
    public void AGpuIsAnsweredWithWhatThereIs([Values("cuda", "cuda:1")] string name) =>
        Assert.That(() => Devices.Open(name), Throws.TypeOf<MdmException>().With.Message.EqualTo(
            $"device '{name}': this version computes on the CPU only; set device to cpu or auto"));
}

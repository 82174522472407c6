using Mdm.Kernels;

namespace Mdm.Tensors.Tests;

public sealed class DevicesTests
{
    [Test]
    public void ADeviceIsOneObjectUnderAnySpellingOfItsName() =>
        Assert.That(Devices.Open(" CPU "), Is.SameAs(Devices.Open("cpu")));

    [Test]
    public void AutoIsTheBestThereIs() => Assert.That(Devices.Open("auto"), Is.SameAs(Devices.Open("cpu")));

    [TestCase("auto", true)]
    [TestCase("cuda:3", true)]
    [TestCase("cuda:-1", false)]
    [TestCase("cuda:", false)]
    [TestCase("gpu", false)]
    public void NamesAreToldFromOtherWords(string name, bool expected) =>
        Assert.That(Devices.IsName(name), Is.EqualTo(expected));

    [Test]
    public void AnUnknownNameIsAnsweredWithTheKnownOnes() =>
        Assert.That(() => Devices.Open("gpu"), Throws.TypeOf<MdmException>().With.Message.EqualTo(
            "device 'gpu' is not known, expected auto, cpu, cuda or cuda:N"));

    [Test]
    public void AGpuIsAnsweredWithWhatThereIs([Values("cuda", "cuda:1")] string name) =>
        Assert.That(() => Devices.Open(name), Throws.TypeOf<MdmException>().With.Message.EqualTo(
            $"device '{name}': this version computes on the CPU only; set device to cpu or auto"));
}

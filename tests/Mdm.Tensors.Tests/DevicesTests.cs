using Mdm.Kernels;
using Mdm.Kernels.Cuda;

namespace Mdm.Tensors.Tests;

public sealed class DevicesTests
{
    [Test]
    public void ADeviceIsOneObjectUnderAnySpellingOfItsName() =>
        Assert.That(Devices.Open(" CPU "), Is.SameAs(Devices.Open("cpu")));

    [Test]
    public void AutoIsTheBestThereIs() =>
        Assert.That(Devices.Open("auto"), Is.SameAs(Devices.Open(CudaDevice.WhyNot(0) == null ? "cuda:0" : "cpu")));

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
    public void AGpuThatIsNotThereIsAnsweredWithTheReason() =>
        Assert.That(() => Devices.Open("cuda:99"), Throws.TypeOf<MdmException>().With.Message.EqualTo(
            $"cuda:99: {CudaDevice.WhyNot(99)}"));
}

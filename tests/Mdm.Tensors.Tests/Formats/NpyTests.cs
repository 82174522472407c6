using System.Text;
using Mdm.Kernels;
using Mdm.Tensors.Formats;
using Mdm.Tests;

namespace Mdm.Tensors.Tests.Formats;

public class NpyTests
{
    private static byte[] Npy(string header, byte[] data, byte version = 1)
    {
        byte[] text = Encoding.Latin1.GetBytes(header + "\n");
        byte[] length = BitConverter.GetBytes(text.Length)[..(version == 1 ? 2 : 4)];
        return [0x93, .. "NUMPY"u8, version, 0, .. length, .. text, .. data];
    }

    private static string Header(string type, string shape, string order = "False") =>
        $"{{'descr': '{type}', 'fortran_order': {order}, 'shape': ({shape}), }}   ";

    private static byte[] Floats(params float[] values) => [.. values.SelectMany(BitConverter.GetBytes)];

    [Test]
    public void EveryVersionAndTypeIsRead()
    {
        foreach (byte version in new byte[] { 1, 2, 3 })
        {
            (long[] shape, float[] values) = NpyFile.Parse(Npy(Header("<f4", "2, 3"), Floats(1, 2, 3, 4, 5, -6), version), "x");
            Assert.That(shape, Is.EqualTo(new[] { 2, 3 }));
            Assert.That(values, Is.EqualTo(new float[] { 1, 2, 3, 4, 5, -6 }));
        }

        byte[] doubles = [.. BitConverter.GetBytes(0.1), .. BitConverter.GetBytes(-3.0)];
        Assert.That(NpyFile.Parse(Npy(Header("<f8", "2,"), doubles), "x").Values, Is.EqualTo(new[] { 0.1f, -3f }));
        Assert.That(NpyFile.Parse(Npy(Header("<f2", ""), BitConverter.GetBytes((Half)0.5f)), "x").Values,
            Is.EqualTo(new[] { 0.5f }));
        Assert.That(NpyFile.Parse(Npy(Header("<f4", "0, 7"), []), "x").Values, Is.Empty);
    }

    [TestCase("<i8", "1,", "False", 8, "found elements '<i8'")]
    [TestCase(">f4", "1,", "False", 4, "found elements '>f4'")]
    [TestCase("<f4", "1, 1", "True", 4, "Fortran order")]
    [TestCase("<f4", "3,", "False", 8, "found 8 bytes of data, expected 12")]
    [TestCase("<f4", "99999999999, 99999999999", "False", 8, "found 8 bytes of data")]
    [TestCase("<f4", "99999999999999999999", "False", 8, "found shape")]
    [TestCase("<f4", "x", "False", 8, "header is damaged")]
    public void BadArraysAreRefused(string type, string shape, string order, int bytes, string expected) =>
        Assert.That(() => NpyFile.Parse(Npy(Header(type, shape, order), new byte[bytes]), "features.npy"),
            Throws.TypeOf<MdmException>().With.Message.Contains(expected).And.Message.StartsWith("features.npy"));

    [Test]
    public void DamagedArraysAreReadOrRefused() =>
        Assert.That(Damage.Inflict(Npy(Header("<f4", "2, 3"), new byte[24]), bytes => NpyFile.Parse(bytes, "x")),
            Is.GreaterThan(100));

    [Test]
    public void NumpyWritesWhatIsRead()
    {
        using var folder = new TemporaryFolder();
        Python.Run($"""
            import numpy
            numpy.save(r'{folder["a.npy"]}', numpy.arange(12, dtype=numpy.float16).reshape(3, 4) / 4)
            """, "numpy");
        (long[] shape, float[] values) = NpyFile.Parse(File.ReadAllBytes(folder["a.npy"]), "a.npy");
        Assert.That(shape, Is.EqualTo(new[] { 3, 4 }));
        Assert.That(values, Is.EqualTo(Enumerable.Range(0, 12).Select(i => i / 4f)));
    }
}

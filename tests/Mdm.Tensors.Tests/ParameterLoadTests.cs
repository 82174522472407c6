using System.Diagnostics;
using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Modules;
using Mdm.Tensors.Tests.Formats;

namespace Mdm.Tensors.Tests;

/// <summary>Filling parameters from files.</summary>
[TestFixtureSource(typeof(TestDevices), nameof(TestDevices.Names))]
public sealed class ParameterLoadTests(string name)
{
    private const int Filters = 70;
    private TemporaryFolder folder = null!;

    private IDevice Device => Devices.Open(name);

    [SetUp]
    public void MakeFolder() => folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => folder.Dispose();

    // The convolution is longer than a piece of the file, and its filters do not divide one.
    [TestCase(DType.Float32, ".pth")]
    [TestCase(DType.Float64, ".pth")]
    [TestCase(DType.Float16, ".pth")]
    [TestCase(DType.BFloat16, ".safetensors")]
    public void EveryTypeArrivesInTheLayoutOfMemory(DType type, string extension)
    {
        string path = folder["all" + extension];
        TensorFile.Save(path, Tensors(type));
        using ParameterStore store = Store(fill: false);
        using ITensorFile file = TensorFile.Open(path);
        var shares = new List<double>();
        store.Load([.. Parts(store, file)], shares.Add);
        Assert.That(shares, Is.Ordered.And.Unique);
        Assert.That((shares[0], shares[^1]), Is.EqualTo((shares[0], 1.0)).And.Not.EqualTo((1.0, 1.0)));
        foreach (Parameter parameter in store.Parameters)
        {
            float[] expected = Array.ConvertAll(file.Tensors[parameter.Name].ToDoubles(), value => (float)value);
            Assert.That(store.ToFileLayout(parameter), Is.EqualTo(expected), parameter.Name);
        }

        float[] memory = store.ByName["conv.weight"].Value.ToArray(), stored = file.Tensors["conv.weight"].ToFloats();
        for (int o = 0; o < Filters; o++)
            for (int i = 0; i < Filters; i++)
                for (int tap = 0; tap < 9; tap++)
                    if (memory[(o * 9 + tap) * Filters + i] != stored[(o * Filters + i) * 9 + tap])
                        Assert.Fail($"filter {o}, input {i}, tap {tap}");
    }

    [Test]
    public void MemoryThatIsNotFilledHasPaddingOfZeros()
    {
        // What a pool gives out again is not zero.
        using (Tensor.Full(Device, new Shape(Filters, Filters, 10), float.NaN))
        {
        }

        TensorFile.Save(folder["a.pth"], Tensors(DType.Float32));
        using ParameterStore store = Store(fill: false);
        using ITensorFile file = TensorFile.Open(folder["a.pth"]);
        store.Load([.. Parts(store, file)]);
        double sum = file.Tensors.Values.Sum(tensor => tensor.ToDoubles().Sum());
        Assert.That(store.Values.ToArray().Sum(value => (double)value), Is.EqualTo(sum).Within(1e-6));
    }

    [Test]
    public void APartGoesWhereItIsToldAndAnArenaOfAveragesIsFilledInstead()
    {
        using ParameterStore store = Store(fill: true);
        Parameter matrix = store.ByName["linear.weight"];
        float[] before = store.ToFileLayout(matrix);
        store.Load([new StoredParameter(matrix, StoredTensor.FromFloats("half", [2], [5, 6]), Offset: 3)]);
        (before[3], before[4]) = (5, 6);
        Assert.That(store.ToFileLayout(matrix), Is.EqualTo(before));

        using Tensor arena = Tensor.Zeros(Device, store.Values.Shape);
        Parameter filter = store.ByName["conv.weight"];
        float[] own = store.ToFileLayout(filter), values = [.. own.Select((_, i) => (float)i)];
        store.Load([new StoredParameter(filter, StoredTensor.FromFloats("w", [values.Length], values), 0, arena)]);
        Assert.That(store.ToFileLayout(filter, arena), Is.EqualTo(values));
        Assert.That(store.ToFileLayout(filter), Is.EqualTo(own));
    }

    [Test]
    public void WhatCannotBeLoadedChangesNothing()
    {
        using ParameterStore store = Store(fill: true);
        Parameter matrix = store.ByName["linear.weight"], bias = store.ByName["linear.bias"];
        float[] before = store.ToFileLayout(matrix);
        StoredTensor right = StoredTensor.FromFloats("right", [before.Length], new float[before.Length]);
        var integers = new StoredTensor("whole", DType.Int64, [3], () => MemoryMarshal.AsBytes<long>(new long[3]).ToArray());
        Assert.That(() => store.Load([new(matrix, right), new(bias, integers)]),
            Throws.TypeOf<MdmException>().With.Message.Contains("'whole' is Int64, expected a floating-point type"));
        Assert.That(() => store.Load([new(matrix, right), new(bias, right)]),
            Throws.ArgumentException.With.Message.Contains("linear.bias [3]: 15 numbers at 0 do not fit"));
        Assert.That(() => store.Load([new(store.ByName["conv.weight"], right)]), Throws.ArgumentException);
        Assert.That(store.ToFileLayout(matrix), Is.EqualTo(before));
    }

    [Test]
    public void AFlippedBitAndAFileThatShrinksAreNoticedOnTheWay()
    {
        TensorFile.Save(folder["a.pth"], Tensors(DType.Float32));
        byte[] bytes = File.ReadAllBytes(folder["a.pth"]);
        bytes[bytes.Length / 2] ^= 16;
        using ParameterStore store = Store(fill: true);
        using (ITensorFile file = TensorFile.Open(folder.Write("flipped.pth", bytes)))
            Assert.That(() => store.Load([.. Parts(store, file)]),
                Throws.TypeOf<MdmException>().With.Message.Contains("checksum of 'archive/data/"));
        if (!OperatingSystem.IsLinux())
            return;
        using (ITensorFile file = TensorFile.Open(folder["a.pth"]))
        {
            // Other programs do not ask .NET whether a file is open.
            using (Process truncate = Process.Start("truncate", ["--size", $"{bytes.Length / 3}", folder["a.pth"]]))
                truncate.WaitForExit();
            Assert.That(() => store.Load([.. Parts(store, file)]),
                Throws.TypeOf<MdmException>().With.Message.Contains($"it had {bytes.Length} when it was opened"));
        }
    }

    private ParameterStore Store(bool fill)
    {
        var store = new ParameterStore();
        var root = new ModuleContext(store);
        _ = new Linear(root / "linear", 5, 3);
        _ = new Conv3x3(root / "conv", Filters, Filters);
        _ = new Linear(root / "other", 7, 11);
        store.Place(Device, training: false, fill: fill);
        return store;
    }

    // Numbers that every type holds exactly.
    private static StoredTensor[] Tensors(DType type)
    {
        using var shapes = new ParameterStore();
        var root = new ModuleContext(shapes);
        _ = new Linear(root / "linear", 5, 3);
        _ = new Conv3x3(root / "conv", Filters, Filters);
        _ = new Linear(root / "other", 7, 11);
        var random = new Random(1);
        return [.. shapes.Parameters.Select(parameter => new StoredTensor(
            parameter.Name, type, Array.ConvertAll(parameter.FileShape.ToArray(), size => (long)size),
            Bytes(type, [.. Enumerable.Range(0, (int)parameter.Shape.Count).Select(_ => random.Next(-128, 128) / 64f)])))];
    }

    private static Func<ReadOnlyMemory<byte>> Bytes(DType type, float[] values)
    {
        byte[] bytes = type switch
        {
            DType.Float32 => MemoryMarshal.AsBytes(values.AsSpan()).ToArray(),
            DType.Float64 => MemoryMarshal.AsBytes(Array.ConvertAll(values, value => (double)value).AsSpan()).ToArray(),
            DType.Float16 => MemoryMarshal.AsBytes(Array.ConvertAll(values, value => (Half)value).AsSpan()).ToArray(),
            _ => MemoryMarshal.AsBytes(
                Array.ConvertAll(values, value => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16)).AsSpan()).ToArray(),
        };
        return () => bytes;
    }

    private static IEnumerable<StoredParameter> Parts(ParameterStore store, ITensorFile file) =>
        store.Parameters.Select(parameter => new StoredParameter(parameter, file.Tensors[parameter.Name]));
}

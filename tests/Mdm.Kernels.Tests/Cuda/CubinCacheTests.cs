using System.Text;
using Mdm.Kernels.Cuda;

namespace Mdm.Kernels.Tests.Cuda;

public sealed class CubinCacheTests
{
    private static readonly KernelModule s_module = KernelModule.Of("one.cu", DType.Float32);

    private string _root = "";
    private FakeCompiler _compiler = new();

    private string CacheFolder => Path.Combine(_root, "cache");

    private string SourceFolder => Path.Combine(_root, "kernels");

    [SetUp]
    public void MakeFolders()
    {
        _root = Directory.CreateTempSubdirectory("mdm-cubin-").FullName;
        Directory.CreateDirectory(Path.Combine(SourceFolder, "include"));
        Write("one.cu", "first");
        Write("include/shared.cuh", "header");
        _compiler = new FakeCompiler();
    }

    [TearDown]
    public void RemoveFolders() => Directory.Delete(_root, recursive: true);

    [Test]
    public void ASecondStartCompilesNothing()
    {
        byte[] first = Binaries()[s_module];
        Assert.That(Encoding.UTF8.GetString(first), Does.StartWith("cubin of first").And.Contain("-DMDM_T=float"));
        Assert.That(Binaries()[s_module], Is.EqualTo(first));
        Assert.That(_compiler.Compilations, Is.EqualTo(1));
        Assert.That(Binaries().Missing([s_module]), Is.Empty);
    }

    [Test]
    public void WhateverDecidesTheBinaryIsPartOfTheKey()
    {
        string key = Binaries().KeyOf(s_module);
        var keys = new HashSet<string> { key, Binaries().KeyOf(KernelModule.Of("one.cu", DType.BFloat16)) };
        keys.Add(Binaries(capability: 86).KeyOf(s_module));
        _compiler = new FakeCompiler { Version = new Version(12, 5) };
        keys.Add(Binaries().KeyOf(s_module));
        _compiler = new FakeCompiler();
        Write("include/shared.cuh", "another header");
        keys.Add(Binaries().KeyOf(s_module));
        Write("include/shared.cuh", "header");
        Write("one.cu", "second");
        keys.Add(Binaries().KeyOf(s_module));
        Assert.That(keys, Has.Count.EqualTo(6));
        Write("one.cu", "first");
        Assert.That(Binaries().KeyOf(s_module), Is.EqualTo(key));
    }

    [TestCase(0)]
    [TestCase(20)]
    [TestCase(45)]
    [TestCase(-1)]
    public void ADamagedEntryIsCompiledAgain(int damage)
    {
        byte[] right = Binaries()[s_module];
        string file = Directory.GetFiles(CacheFolder).Single();
        byte[] bytes = File.ReadAllBytes(file);
        if (damage < 0)
            bytes = bytes[..^3];
        else
            bytes[damage] ^= 1;
        File.WriteAllBytes(file, bytes);
        Assert.That(Binaries()[s_module], Is.EqualTo(right));
        Assert.That(Binaries()[s_module], Is.EqualTo(right));
        Assert.That(_compiler.Compilations, Is.EqualTo(2));
    }

    [Test]
    public void AFolderThatCannotBeMadeOnlyKeepsNothing()
    {
        File.WriteAllText(CacheFolder, "a file in its place");
        Assert.That(Binaries()[s_module], Is.Not.Empty);
        Assert.That(Binaries()[s_module], Is.Not.Empty);
        Assert.That(_compiler.Compilations, Is.EqualTo(2));
        Assert.That(new CubinCache(CacheFolder).IsWritable(), Is.False);
    }

    [Test]
    public void SeveralMayFillTheFolderAtOnce()
    {
        KernelModule[] modules = [.. Enumerable.Range(0, 12).Select(i => new KernelModule("one.cu", $"N={i}"))];
        Parallel.For(0, 4, _ => Binaries().Compile(modules, null));
        int compiled = _compiler.Compilations;
        foreach (KernelModule module in modules)
            Assert.That(Encoding.UTF8.GetString(Binaries()[module]), Does.EndWith($"-D{module.Defines}"));
        Assert.That(_compiler.Compilations, Is.EqualTo(compiled));
        Assert.That(Directory.GetFiles(CacheFolder, "*.tmp"), Is.Empty);
    }

    [Test]
    public void ProgressCountsToTheEnd()
    {
        var seen = new List<(int Done, int All)>();
        Binaries().Compile([.. KernelModule.BothTypes("one.cu")], (done, all, file) =>
        {
            Assert.That(file, Is.EqualTo("one.cu"));
            seen.Add((done, all));
        });
        Assert.That(seen, Is.EqualTo(new[] { (1, 2), (2, 2) }));
    }

    [Test]
    public void AnErrorInOneOfManySourcesIsToldWithItsLog()
    {
        Write("two.cu", "an error");
        Assert.That(() => Binaries().Compile([s_module, new KernelModule("two.cu")], null),
            Throws.TypeOf<MdmException>().With.Message.EqualTo("two.cu: NVRTC 12.4 finds errors for sm_80:\ntwo.cu(1): error"));
    }

    [Test]
    public void ModulesThatTheGpuCannotRunAreLeftOut()
    {
        var hopper = new KernelModule("one.cu", "H=1", MinimumCapability: 90);
        Assert.That(Binaries(80).Missing([s_module, hopper]), Is.EqualTo(new[] { s_module }));
        Assert.That(Binaries(90).Missing([s_module, hopper]), Is.EqualTo(new[] { s_module, hopper }));
        Assert.That(Binaries(100).Missing([s_module, hopper]), Is.EqualTo(new[] { s_module }));
        _compiler = new FakeCompiler { Version = new Version(11, 8) };
        Assert.That(Binaries(90).Missing([s_module, hopper]), Is.EqualTo(new[] { s_module }));
    }

    [Test]
    public void AGpuNewerThanTheCompilerGetsPtx() =>
        Assert.That(Encoding.UTF8.GetString(Binaries(120)[s_module]), Does.StartWith("ptx").And.Contain("=compute_90 "));

    private KernelBinaries Binaries(int capability = 80) => new(
        new KernelCompiler(_compiler, new KernelSources(SourceFolder), capability,
            KernelCompiler.HasHopperInstructions(_compiler, capability)), new CubinCache(CacheFolder));

    private void Write(string file, string text) => File.WriteAllText(Path.Combine(SourceFolder, file), text);
}

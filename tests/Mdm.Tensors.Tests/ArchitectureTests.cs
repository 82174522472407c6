using System.Text.RegularExpressions;
using System.Xml.Linq;
using Mdm.Tests;

namespace Mdm.Tensors.Tests;

/// <summary>The rules of the house: dependencies run one way, and the model knows no device.</summary>
public sealed class ArchitectureTests
{
    private static readonly string[] s_layers = ["Mdm.Kernels", "Mdm.Tensors", "Mdm.Model", "Mdm.Cli"];

    private static string Source => Path.Combine(GoldenFiles.Root, "src");

    [Test]
    public void ProjectsReferenceOnlyTheLayerBelow()
    {
        string[] projects = [.. Directory.GetFiles(Source, "*.csproj", SearchOption.AllDirectories)];
        Assert.That(projects.Select(Path.GetFileNameWithoutExtension), Is.EquivalentTo(s_layers));
        foreach (string project in projects)
        {
            int layer = Array.IndexOf(s_layers, Path.GetFileNameWithoutExtension(project));
            foreach (XElement reference in XDocument.Load(project).Descendants("ProjectReference"))
            {
                string other = Path.GetFileNameWithoutExtension(((string)reference.Attribute("Include")!).Replace('\\', '/'));
                Assert.That(Array.IndexOf(s_layers, other), Is.GreaterThanOrEqualTo(0).And.LessThan(layer),
                    $"{s_layers[layer]} references {other}");
            }
        }
    }

    [Test]
    public void TheModelNamesNoDevice()
    {
        var device = new Regex(@"(?i:cuda|\bcpu)");
        string[] files = Directory.GetFiles(Path.Combine(Source, "Mdm.Model"), "*.cs", SearchOption.AllDirectories);
        Assert.That(files, Is.Not.Empty);
        foreach (string file in files.Where(f => !f.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}")))
            Assert.That(device.Match(File.ReadAllText(file)).Value, Is.Empty, Path.GetRelativePath(Source, file));
    }

    [Test]
    public void KernelsKnowNoTensors()
    {
        foreach (string file in Directory.GetFiles(Path.Combine(Source, "Mdm.Kernels"), "*.cs", SearchOption.AllDirectories))
            Assert.That(File.ReadAllText(file), Does.Not.Contain("using Mdm.Tensors"), Path.GetRelativePath(Source, file));
    }
}

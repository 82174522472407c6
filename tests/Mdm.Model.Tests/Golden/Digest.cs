using System.Text.Json;
using Mdm.Tensors;
using Mdm.Tensors.Modules;

namespace Mdm.Model.Tests.Golden;

/// <summary>Compares one array per parameter (gradients, trained weights) with what was recorded: whole (<c>grad.p</c>), or its
/// norm (<c>gradnorm.p</c>) and every k-th element (<c>gradsub.p</c>), k = ceil(n/256).</summary>
internal static class Digest
{
    /// <summary>Gradients. Those that are zero in exact arithmetic hold only rounding: they may differ by what two runs of the
    /// original differed.</summary>
    public static void RequireGradients(GoldenFile file, string fileName, ParameterStore store)
    {
        Dictionary<string, float[]> found =
            store.Parameters.ToDictionary(p => p.Name, p => store.ToFileLayout(p, store.Gradients));
        float largest = found.Values.Max(g => g.Max(Math.Abs));
        double rounding = GoldenFile.Json("noise.json").GetProperty(fileName).EnumerateObject()
            .Where(kind => kind.Name.StartsWith("grad") && !kind.Name.StartsWith("grad_"))
            .Max(kind => kind.Value.GetProperty("max_abs_diff").GetDouble());
        Assert.Multiple(() =>
        {
            foreach (Parameter parameter in store.Parameters)
                Require(file, "grad", parameter.Name, found[parameter.Name], 1e-6 * largest, rounding);
        });
    }

    /// <summary>One array: within <see cref="Close.Gradient"/> by norm, or within <paramref name="rounding"/> where nothing in it
    /// is larger than <paramref name="negligible"/>.</summary>
    public static void Require(GoldenFile file, string kind, string name, float[] values, double negligible, double rounding)
    {
        bool whole = file.Has($"{kind}.{name}");
        string recorded = whole ? $"{kind}.{name}" : $"{kind}sub.{name}";
        float[] expected = file.Floats(recorded), found = whole ? values : Every(values, (values.Length + 255) / 256);
        if (expected.Max(Math.Abs) <= negligible)
        {
            Assert.That(Close.LargestDifference(found, expected), Is.LessThanOrEqualTo(rounding), recorded);
            return;
        }

        Close.Require(recorded, found, expected, Close.Gradient);
        if (!file.Has($"{kind}norm.{name}"))
            return;
        double norm = Math.Sqrt(values.Sum(v => (double)v * v)), recordedNorm = file.Floats($"{kind}norm.{name}")[0];
        Assert.That(norm, Is.EqualTo(recordedNorm).Within(Close.Gradient * recordedNorm), $"{kind}norm.{name}");
    }

    private static float[] Every(float[] values, int k) => values.Where((_, i) => i % k == 0).ToArray();
}

using Mdm.Model.Text.T5;
using Mdm.Tensors;

namespace Mdm.Model.Tests.Golden;

/// <summary>Hugging Face's own encoder, recorded for every way of storing weights.</summary>
[TestFixture]
public sealed class T5GoldenTests
{
    private const double Tolerance = 2e-5;

    private static readonly string[] s_cases = ["full", "right", "left", "holes", "len1", "long", "nomask", "allmasked"];

    [Test]
    public void Every_position_of_every_case_agrees(
        [ValueSource(typeof(GoldenT5), nameof(GoldenT5.Models))] string model, [ValueSource(nameof(s_cases))] string name)
    {
        using T5Encoder encoder = GoldenT5.Load(model);
        using GoldenFile file = GoldenFile.Open($"text/{model}/io.safetensors");
        using Scope scope = Scope.Enter();
        float[] found = encoder.Encode(GoldenT5.Ids(file, name), GoldenT5.Mask(file, name)).ToArray();
        float[] expected = file.Floats($"{name}.last_hidden_state");
        // Where no token counts, the original spreads its attention over all; here there is none.
        int compared = name == "allmasked" ? expected.Length / 2 : expected.Length;
        Assert.That(found, Has.Length.EqualTo(expected.Length));
        Assert.That(Close.LargestDifference(found.AsSpan(0, compared), expected.AsSpan(0, compared)), Is.LessThan(Tolerance));
        Assert.That(found, Has.All.Matches<float>(float.IsFinite));
        if (!file.Has($"{name}.last_hidden_state_f64"))
            return;
        double[] exact = file.Doubles($"{name}.last_hidden_state_f64");
        Assert.That(exact.Select((value, i) => Math.Abs(value - found[i])).Max(), Is.LessThan(Tolerance));
    }
}

using Mdm.Model.Configuration;
using Mdm.Model.Diffusion;

namespace Mdm.Model.Tests.Golden;

[TestFixture]
public sealed class ScheduleGoldenTests
{
    [Test]
    public void EverySchedule([Values("DDPM", "DEEPFLOYD", "COSINE")] string kind, [Values(10, 32, 1000)] int steps)
    {
        using GoldenFile file = GoldenFile.Open("schedules.safetensors");
        NoiseSchedule schedule = NoiseSchedule.Create(new SamplerConfig
        {
            ScheduleType = Enum.Parse<ScheduleType>(kind, ignoreCase: true),
            NumDiffusionSteps = steps,
        });

        RequireElementwise(file, $"{kind}.{steps}.gammas", schedule.Gammas, 2e-6);
        RequireElementwise(file, $"{kind}.{steps}.vdm_weights", schedule.VdmWeights(), 1e-4);
        foreach (int scale in (int[])[4, 16])
        {
            foreach (int power in (int[])[1, 2])
            {
                RequireElementwise(
                    file, $"{kind}.{steps}.shifted_scale{scale}_power{power}", schedule.Shifted(scale, power).Gammas, 1e-5);
            }
        }
    }

    [Test]
    public void TimeStepLists()
    {
        using GoldenFile file = GoldenFile.Open("schedules.safetensors");
        foreach (string name in file.Names.Where(n => n.StartsWith("timesteps.")))
        {
            int[] counts = name.Split('.').Skip(1).Select(int.Parse).ToArray();
            Assert.That(TimeSteps.Create(counts[0], counts[1]), Is.EqualTo(file.Integers(name)), name);
        }
    }

    // Element by element: at the noisy end γ is a thousand times smaller than at the other.
    private static void RequireElementwise(GoldenFile file, string name, ReadOnlySpan<float> found, double tolerance)
    {
        float[] expected = file.Floats(name);
        Assert.That(found.Length, Is.EqualTo(expected.Length), name);
        for (int i = 0; i < expected.Length; i++)
            Assert.That(found[i], Is.EqualTo(expected[i]).Within(tolerance * Math.Abs(expected[i])), $"{name}[{i}]");
    }
}

using Mdm.Kernels;
using Mdm.Tensors.Modules;

namespace Mdm.Tensors.Tests;

[TestFixtureSource(typeof(TestDevices), nameof(TestDevices.Names))]
public sealed class AdamTests(string name)
{
    private const int Count = 77;

    private IDevice Device => Devices.Open(name);

    private static IEnumerable<AdamOptions> Options() =>
    [
        new(0.9f, 0.999f, 1e-8f, 0, false, 0, 1),
        new(0.9f, 0.99f, 1e-8f, 0, false, 2, 1),
        new(0.9f, 0.99f, 1e-6f, 0.05f, true, 1, 1),
    ];

    [TestCaseSource(nameof(Options))]
    public void StepsAreThoseOfADoublePrecisionAdam(AdamOptions options)
    {
        using var store = new ParameterStore();
        Parameter parameter = new ModuleContext(store).Parameter("p", new Shape(Count), Initialisation.FanIn, 1);
        store.Place(Device, training: true);
        using var adam = new Adam(store, options);
        double[] p = Array.ConvertAll(parameter.Value.ToArray(), v => (double)v), ema = [.. p];
        double[] m = new double[Count], v = new double[Count];
        var random = new Random(1);
        for (int step = 1; step <= 6; step++)
        {
            float[] g = [.. Enumerable.Range(0, Count).Select(_ => (float)(random.NextDouble() - 0.3))];
            double rate = 0.01 * step, decay = step == 1 ? 0 : 0.8, scale = step % 2 == 0 ? 0.25 : 1;
            parameter.Value.Gradient!.CopyFrom(g);
            adam.Step(rate, decay, (float)scale);

            double norm = scale * Math.Sqrt(g.Sum(x => (double)x * x));
            double factor = scale * (options.Clip == 0 ? 1 : Math.Min(1, options.Clip / (norm + 1e-6)));
            double beta1 = Math.Round(options.Beta1, 6), beta2 = Math.Round(options.Beta2, 6);
            for (int i = 0; i < Count; i++)
            {
                m[i] = beta1 * m[i] + (1 - beta1) * factor * g[i];
                v[i] = beta2 * v[i] + (1 - beta2) * factor * g[i] * factor * g[i];
                if (options.Decoupled)
                    p[i] -= rate * options.WeightDecay * p[i];
                double first = m[i] / (1 - Math.Pow(beta1, step)), second = v[i] / (1 - Math.Pow(beta2, step));
                p[i] -= rate * first / (Math.Sqrt(second) + options.Epsilon);
                ema[i] = decay * ema[i] + (1 - decay) * p[i];
            }

            Assert.Multiple(() =>
            {
                Assert.That(parameter.Value.ToArray(), Is.EqualTo(p).Within(2e-6), $"parameters after step {step}");
                Assert.That(store.ToFileLayout(parameter, adam.Ema), Is.EqualTo(ema).Within(2e-6), "moving average");
                Assert.That(store.ToFileLayout(parameter, adam.Moments.M), Is.EqualTo(m).Within(2e-6));
                Assert.That(store.ToFileLayout(parameter, adam.Moments.V), Is.EqualTo(v).Within(2e-6));
                Assert.That(adam.Read(), Is.EqualTo(((long)step, 0L, norm / scale)).Using<(long, long, double)>(
                    (a, b) => a.Item1 == b.Item1 && a.Item2 == b.Item2 && Math.Abs(a.Item3 - b.Item3) < 1e-6));
            });
        }
    }

    [TestCase(float.NaN)]
    [TestCase(float.PositiveInfinity)]
    public void AStepWithAGradientThatIsNotFiniteChangesNothingAndIsCounted(float bad)
    {
        using var training = new TinyTraining(Device);
        training.Step();
        Tensor gradients = training.Store.Gradients!;
        float[] good = gradients.ToArray();
        float[] values = training.Store.Values.ToArray(), ema = training.Optimiser.Ema!.ToArray();
        float[] m = training.Optimiser.Moments.M.ToArray(), v = training.Optimiser.Moments.V.ToArray();
        float[] broken = [.. good];
        broken[^17] = bad;
        gradients.CopyFrom(broken);
        training.Optimiser.Step(0.1);
        Assert.Multiple(() =>
        {
            Assert.That(training.Store.Values.ToArray(), Is.EqualTo(values));
            Assert.That(training.Optimiser.Ema!.ToArray(), Is.EqualTo(ema));
            Assert.That(training.Optimiser.Moments.M.ToArray(), Is.EqualTo(m));
            Assert.That(training.Optimiser.Moments.V.ToArray(), Is.EqualTo(v));
            Assert.That(training.Optimiser.Read().Steps, Is.EqualTo(1));
            Assert.That(training.Optimiser.Read().Skipped, Is.EqualTo(1));
        });
        gradients.CopyFrom(good);
        training.Optimiser.Step(0.1);
        Assert.That(training.Optimiser.Read().Steps, Is.EqualTo(2));
        Assert.That(training.Store.Values.ToArray(), Is.Not.EqualTo(values));
    }

    [Test]
    public void StateCanBeReadAndWrittenBack()
    {
        using var training = new TinyTraining(Device);
        training.Step();
        training.Step();
        double[] state = training.Optimiser.ReadState();
        training.Step();
        training.Optimiser.WriteState(state);
        Assert.That(training.Optimiser.Read().Steps, Is.EqualTo(2));
        Assert.That(training.Optimiser.ReadState(), Is.EqualTo(state));
    }

    [Test]
    public void FrozenParametersStay()
    {
        using var store = new ParameterStore();
        var root = new ModuleContext(store);
        root.Parameter("trained", new Shape(4), Initialisation.Ones);
        Parameter frozen = root.Parameter("frozen", new Shape(4), Initialisation.Ones);
        frozen.Frozen = true;
        store.Place(Device, training: true);
        using var adam = new Adam(store, new AdamOptions(0.9f, 0.99f, 1e-8f, 0.1f, true, 1, 1));
        store.Gradients!.Kernels.Fill(store.Gradients.Count, 1, store.Gradients.Ptr);
        adam.Step(0.1);
        Assert.That(frozen.Value.ToArray(), Is.All.EqualTo(1));
        Assert.That(store.ByName["trained"].Value.ToArray(), Is.All.LessThan(1));
    }
}

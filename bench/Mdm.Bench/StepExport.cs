using Mdm.Kernels;
using Mdm.Model.Diffusion;
using Mdm.Model.Profiling;
using Mdm.Tensors;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Modules;

namespace Mdm.Bench;

/// <summary>Writes what one step saw and computed, so that another implementation can be held against it:
/// <c>weight.*</c> and <c>gradient.*</c> in the checkpoint's layout, <c>images</c>, <c>times</c>, <c>tokens</c>, <c>mask</c>, and
/// per resolution <c>epsilon.k</c>, <c>gamma.k</c>, <c>output.k</c> (images as [B,H,W,C]), and the <c>loss</c>.</summary>
internal static class StepExport
{
    /// <param name="configPath">The network.</param>
    /// <param name="file">Written.</param>
    /// <param name="deviceName">Where to compute.</param>
    /// <param name="batch">Images; 0: as the configuration says.</param>
    public static void Write(string configPath, string file, string deviceName, int batch)
    {
        using SyntheticTraining step = StepBench.Open(configPath, Devices.Open(deviceName), batch);
        using Scope scope = Scope.Enter();
        int steps = step.Process.Schedule.Steps;
        int[] times = [.. Enumerable.Range(0, step.Batch).Select(i => (i * 37 + 11) * steps / 1000 % steps)];
        var noise = new RecordedNoise();
        LossResult result = step.Gradients(times, noise);

        var tensors = new List<StoredTensor>
        {
            Store("images", step.Images), Store("loss", result.Loss), Numbers("times", Array.ConvertAll(times, t => (float)t)),
        };
        if (step.Text is { } text)
            tensors.AddRange([Store("tokens", text.Values), Store("mask", text.Mask!)]);
        for (int k = 0; k < result.Levels.Count; k++)
        {
            NoiseSchedule schedule = step.Process.Levels[k].Schedule;
            tensors.AddRange([Store($"epsilon.{k}", noise.Drawn[k]), Store($"output.{k}", result.Levels[k].Output),
                Numbers($"gamma.{k}", Array.ConvertAll(times, t => schedule[t + 1]))]);
        }

        ParameterStore store = step.Network.Store;
        foreach (Parameter p in store.Parameters)
        {
            long[] shape = [.. p.FileShape.ToArray().Select(n => (long)n)];
            tensors.Add(StoredTensor.FromFloats("weight." + p.Name, shape, store.ToFileLayout(p)));
            tensors.Add(StoredTensor.FromFloats("gradient." + p.Name, shape, store.ToFileLayout(p, store.Gradients)));
        }

        TensorFile.Save(file, tensors);
    }

    private static StoredTensor Store(string name, Tensor tensor) =>
        StoredTensor.FromFloats(name, [.. tensor.Shape.ToArray().Select(n => (long)n)], tensor.ToArray());

    private static StoredTensor Numbers(string name, float[] values) => StoredTensor.FromFloats(name, [values.Length], values);

    private sealed class RecordedNoise : INoiseSource
    {
        private readonly StreamNoise _stream = new(new RandomStream(1, 3));

        public List<Tensor> Drawn { get; } = [];

        public Tensor Draw(IDevice device, Shape shape)
        {
            Drawn.Add(_stream.Draw(device, shape));
            return Drawn[^1];
        }
    }
}

using Mdm.Kernels;
using Mdm.Kernels.Cuda;
using Mdm.Model.Networks;
using Mdm.Model.Tests.Golden;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.CudaEmulator.Tests;

/// <summary>Recorded networks in the arithmetics that round more than float32: TF32 products, and bfloat16.</summary>
public sealed class PrecisionTests
{
    private static CudaDevice Device => (CudaDevice)GoldenModel.Device;

    [TestCase("unet_c", "tf32", 3e-3, 1e-2)]
    [TestCase("unet_c", "bfloat16", 3e-2, 1e-1)]
    [TestCase("nested_2_mixed", "tf32", 3e-3, 1e-2)]
    [TestCase("nested_2_mixed", "bfloat16", 3e-2, 1e-1)]
    public void OutputsAndGradientsAreNearTheRecordedOnes(string name, string arithmetic, double output, double gradient)
    {
        DType type = arithmetic == "bfloat16" ? DType.BFloat16 : DType.Float32;
        bool before = Device.AllowTf32;
        Device.AllowTf32 = arithmetic == "tf32";
        try
        {
            using GoldenFile file = GoldenFile.Open($"{name}.io.safetensors");
            using DenoisingNetwork network = GoldenModel.Load(name.Replace("_mixed", ""), training: true, type);
            string[] suffixes = network.NestRatios.Count == 1 ? [""] : [.. network.NestRatios.Select((_, k) => $".{k}")];
            using Scope scope = Scope.Enter();
            using Tape tape = Tape.Start();
            NetworkInput input = NetworkGoldenTests.Input(file, suffixes);
            IReadOnlyList<Tensor> outputs = network.Call(input).Predictions;
            Tensor? loss = null;
            for (int k = 0; k < suffixes.Length; k++)
            {
                double error = Require($"output{suffixes[k]}", outputs[k], file, output);
                Assert.That(error, Is.GreaterThan(Close.Forward), "as near as float32: the arithmetic is not the one asked for");
                Tensor one = Op.Mean(Op.MeanSquaredError(outputs[k], file.Tensor(Device, $"target{suffixes[k]}")));
                loss = loss == null ? one : Op.Add(loss, one);
            }

            tape.Backward(loss!);
            for (int k = 0; k < suffixes.Length; k++)
                Require($"grad_x_t{suffixes[k]}", input.Images[k].Gradient!, file, gradient);
            foreach (Tensor leaf in input.Images.Append(input.Text?.Values ?? input.Images[0]))
                leaf.FreeGradient();
        }
        finally
        {
            Device.AllowTf32 = before;
        }

        double Require(string what, Tensor found, GoldenFile file, double tolerance)
        {
            float[] values = found.ToArray(), expected = file.ChannelsLast(what);
            double error = Close.Error(values, expected);
            TestContext.Out.WriteLine($"{name} in {arithmetic}: {what} differs by {error:0.0e-0}");
            Close.Require(what, values, expected, tolerance);
            return error;
        }
    }
}

using Mdm.Kernels;
using Mdm.Kernels.Cuda;
using Mdm.Tests;

namespace Mdm.CudaEmulator.Tests;

/// <summary>A 3x3 convolution with bias and residual, and its gradients, added to what is there, against float64.</summary>
internal static class ConvolutionCheck
{
    /// <param name="device">Computes.</param>
    /// <param name="type">Of the activations.</param>
    /// <param name="s">Sizes.</param>
    /// <param name="skip">Elements between the images' first ones and addresses that are multiples of 16 bytes.</param>
    /// <param name="tolerance">Of y and dx.</param>
    /// <param name="weightTolerance">Of dw and db, which are float32.</param>
    /// <param name="what">For messages.</param>
    public static void Run(
        CudaDevice device, DType type, ConvShape s, int skip, double tolerance, double weightTolerance, string what)
    {
        int inputs = s.Batch * s.Height * s.Width * s.InChannels, outputs = s.Batch * s.OutHeight * s.OutWidth * s.OutChannels;
        int weights = s.OutChannels * 9 * s.InChannels;
        using Operand x = Operand.Random(device, type, 1, inputs, skip), dx = Operand.Random(device, type, 2, inputs, skip);
        using Operand w = Operand.Random(device, type, 3, weights), dw = Operand.Random(device, DType.Float32, 4, weights);
        using Operand y = Operand.Random(device, type, 5, outputs, skip), dy = Operand.Random(device, type, 6, outputs);
        using Operand bias = Operand.Random(device, DType.Float32, 7, s.OutChannels);
        using Operand residual = Operand.Random(device, type, 8, outputs);
        using Operand db = Operand.Random(device, DType.Float32, 9, s.OutChannels);
        double[] expected = [.. residual.Values], expectedDx = [.. dx.Values], expectedDw = [.. dw.Values], expectedDb = [.. db.Values];
        for (int i = 0; i < expected.Length; i++)
        {
            expected[i] += bias.Values[i % s.OutChannels];
            expectedDb[i % s.OutChannels] += dy.Values[i];
        }

        ProductReference.ForEachTap(s, (from, weight, at) =>
        {
            for (int c = 0; c < s.InChannels; c++)
            {
                expected[at] += x.Values[from + c] * w.Values[weight + c];
                expectedDx[from + c] += dy.Values[at] * w.Values[weight + c];
                expectedDw[weight + c] += dy.Values[at] * x.Values[from + c];
            }
        });
        device.Kernels.Conv3x3Forward(s, x.Ptr, w.Ptr, bias.Ptr, residual.Ptr, y.Ptr);
        device.Kernels.Conv3x3BackwardData(s, dy.Ptr, w.Ptr, new Target(dx.Ptr, true));
        device.Kernels.Conv3x3BackwardWeight(s, x.Ptr, dy.Ptr, new Target(dw.Ptr, true), new Target(db.Ptr, true));
        Assert.Multiple(() =>
        {
            Assert.That(y.RelativeError(expected), Is.LessThan(tolerance), $"y of {what}");
            Assert.That(dx.RelativeError(expectedDx), Is.LessThan(tolerance), $"dx of {what}");
            Assert.That(dw.RelativeError(expectedDw), Is.LessThan(weightTolerance), $"dw of {what}");
            Assert.That(db.RelativeError(expectedDb), Is.LessThan(weightTolerance), $"db of {what}");
        });
    }
}

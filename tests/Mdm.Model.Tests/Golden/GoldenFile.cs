using System.Text.Json;
using Mdm.Kernels;
using Mdm.Tensors;
using Mdm.Tensors.Formats;
using Mdm.Tests;

namespace Mdm.Model.Tests.Golden;

/// <summary>The arrays of one golden file. Pictures there are [B,C,H,W]; here they are [B,H,W,C].</summary>
internal sealed class GoldenFile : IDisposable
{
    private readonly ITensorFile _file;

    private GoldenFile(ITensorFile file) => _file = file;

    public IEnumerable<string> Names => _file.Tensors.Keys;

    /// <summary>Opens a file, or skips the test where it is not at hand.</summary>
    public static GoldenFile Open(string name) => new(TensorFile.Open(GoldenFiles.Require(name)));

    /// <summary>A JSON file beside the arrays.</summary>
    public static JsonElement Json(string name)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllText(GoldenFiles.Require(name)));
        return document.RootElement.Clone();
    }

    public bool Has(string name) => _file.Tensors.ContainsKey(name);

    public int[] ShapeOf(string name) => Array.ConvertAll(_file.Tensors[name].Shape, n => (int)n);

    public float[] Floats(string name) => _file.Tensors[name].ToFloats();

    public double[] Doubles(string name) => _file.Tensors[name].ToDoubles();

    public int[] Integers(string name) => Array.ConvertAll(_file.Tensors[name].ToIntegers(), n => (int)n);

    /// <summary>The array as a tensor, pictures with channels last.</summary>
    public Tensor Tensor(IDevice device, string name)
    {
        int[] shape = ShapeOf(name);
        if (shape.Length == 4)
            shape = [shape[0], shape[2], shape[3], shape[1]];
        return Tensors.Tensor.From(device, ChannelsLast(name), new Shape(shape));
    }

    /// <summary>The array's elements in the order of a tensor here.</summary>
    public float[] ChannelsLast(string name)
    {
        int[] shape = ShapeOf(name);
        return shape.Length == 4 ? ChannelsLast(Floats(name), shape) : Floats(name);
    }

    private static float[] ChannelsLast(float[] from, int[] shape)
    {
        int channels = shape[1], pixels = shape[2] * shape[3];
        float[] to = new float[from.Length];
        for (int b = 0; b < shape[0]; b++)
            for (int c = 0; c < channels; c++)
                for (int p = 0; p < pixels; p++)
                    to[(b * pixels + p) * channels + c] = from[(b * channels + c) * pixels + p];
        return to;
    }

    public void Dispose() => _file.Dispose();
}

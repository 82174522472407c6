using System.Runtime.InteropServices;
using Mdm.Kernels;
using Mdm.Tensors;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Diffusion;

/// <summary>Numbers that a step needs of every sample of a batch, gathered on the host so that they are uploaded together: a
/// tensor of rows of B numbers.</summary>
internal sealed class SampleNumbers(int batch)
{
    private readonly List<float> _values = [];

    /// <summary>A row with a number for every sample.</summary>
    public void Add(Func<int, double> ofSample)
    {
        for (int i = 0; i < batch; i++)
            _values.Add((float)ofSample(i));
    }

    /// <summary>A row with the same number for all.</summary>
    public void Add(double same) => Add(_ => same);

    /// <summary>All rows so far, [rows, B].</summary>
    public Tensor On(IDevice device) =>
        Tensor.From(device, CollectionsMarshal.AsSpan(_values), new Shape(_values.Count / Math.Max(1, batch), batch));

    /// <summary>A row of such a tensor, for its first samples.</summary>
    public static Tensor Row(Tensor numbers, int row, int samples) =>
        Op.BatchSlice(Op.BatchSlice(numbers, row, 1).Reshape(numbers.Shape[1]), 0, samples);
}

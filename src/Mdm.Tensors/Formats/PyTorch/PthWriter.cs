using System.Globalization;
using Mdm.Kernels;

namespace Mdm.Tensors.Formats.PyTorch;

/// <summary>Writes a checkpoint that torch.load(weights_only=True) opens, from PyTorch 1.13 on.</summary>
internal static class PthWriter
{
    /// <summary>Writes the pickle first, then tensor after tensor.</summary>
    public static void Write(
        Stream stream, IReadOnlyCollection<StoredTensor> tensors, IReadOnlyDictionary<string, string> metadata,
        bool alwaysZip64 = false)
    {
        const string Root = "archive/";
        KeyValuePair<string, object>[] values = [.. metadata.Select(pair => KeyValuePair.Create(pair.Key, Typed(pair.Value)))];
        var zip = new ZipWriter(stream, alwaysZip64);
        zip.Add(Root + "data.pkl", PickleWriter.Checkpoint(tensors, values));
        zip.Add(Root + "byteorder", "little"u8.ToArray());
        int key = 0;
        foreach (StoredTensor tensor in tensors.Concat(values.Select(pair => pair.Value).OfType<StoredTensor>()))
            zip.Add(Root + "data/" + key++.ToString(CultureInfo.InvariantCulture), tensor.ByteCount, tensor.Visit);
        zip.Add(Root + "version", "3\n"u8.ToArray());
        zip.Finish();
    }

    /// <summary>Metadata is text here; what reads as a number or truth value becomes one in Python. Fractions become float64
    /// tensors without dimensions: PyTorch 1.13 with weights_only refuses plain Python floats, even in files of its
    /// own.</summary>
    private static object Typed(string value)
    {
        if (long.TryParse(value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long integer))
            return integer;
        if (double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out double number))
            return new StoredTensor("", DType.Float64, [], () => BitConverter.GetBytes(number));
        return value is "true" or "false" ? value == "true" : value;
    }
}

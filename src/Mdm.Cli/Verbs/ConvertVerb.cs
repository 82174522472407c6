using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Tensors.Formats;

namespace Mdm.Cli.Verbs;

internal static class ConvertVerb
{
    private static readonly OptionTable<Options> s_options = new("mdm convert [options] INPUT OUTPUT",
        "Rewrites a checkpoint in the format that the output's ending names: .pth or .safetensors. Names, "
        + "shapes and values stay.");

    public static Verb Verb { get; } = Verb.Of("convert", "turns checkpoints from .pth to .safetensors and back", s_options, Run);

    public sealed class Options
    {
        [Setting("Stores the numbers as float16, which halves the file")]
        public bool Half { get; set; }
    }

    private static int Run(VerbArguments<Options> given)
    {
        if (given.Words.Count != 2)
            throw new MdmException($"convert: {given.Words.Count} files given, expected INPUT and OUTPUT");
        (string input, string output) = (given.Words[0], given.Words[1]);
        if (input.Length == 0 || output.Length == 0)
            throw new MdmException("convert: a file name is empty, expected INPUT and OUTPUT");
        if (Path.GetFullPath(input) == Path.GetFullPath(output))
            throw new MdmException($"convert: {input} is both input and output, expected two files");
        using ITensorFile file = TensorFile.Open(input);
        IEnumerable<StoredTensor> tensors = file.Tensors.Values;
        if (given.Options.Half)
            tensors = tensors.Select(Halved);
        TensorFile.Save(output, tensors.ToArray(), file.Metadata);
        Console.WriteLine($"{output}: {file.Tensors.Count} tensors");
        return Shell.Success;
    }

    private static StoredTensor Halved(StoredTensor tensor) => tensor.Type is not (DType.Float32 or DType.Float64)
        ? tensor
        : new StoredTensor(tensor.Name, DType.Float16, tensor.Shape, () =>
        {
            Half[] values = Array.ConvertAll(tensor.ToFloats(), value => !float.IsFinite(value) || Half.IsFinite((Half)value)
                ? (Half)value
                : throw new MdmException($"--half: {tensor.Name} holds {value:G4}, expected at most 65504, where float16 ends"));
            return System.Runtime.InteropServices.MemoryMarshal.AsBytes(values.AsSpan()).ToArray();
        });
}

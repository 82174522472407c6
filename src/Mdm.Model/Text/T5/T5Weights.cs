using System.Text.Json;
using Mdm.Kernels;
using Mdm.Tensors;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Modules;

namespace Mdm.Model.Text.T5;

/// <summary>The weights of a Hugging Face folder: one file or several with an index, safetensors or PyTorch's, in float32,
/// float16 or bfloat16. Only the encoder's tensors are looked at. The files are mapped, and each tensor is converted on its way
/// to the device, so that there is never a second copy of the model.</summary>
public sealed class T5Weights : IDisposable
{
    private const int Examples = 3;
    private const string Positions = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";

    // The same matrix: files have the one, the other or both.
    private static readonly string[] s_embeddingNames = ["shared.weight", "encoder.embed_tokens.weight"];

    /// <summary>Names of weights, the best kind first; an index tells which tensor is in which file.</summary>
    private static readonly (string Name, bool IsIndex)[] s_known =
    [
        ("model.safetensors", false),
        ("model.safetensors.index.json", true),
        ("pytorch_model.bin", false),
        ("pytorch_model.bin.index.json", true),
    ];

    private readonly string _folder;
    private readonly Dictionary<string, ITensorFile> _files = [];
    private readonly Dictionary<string, StoredTensor> _tensors = [];

    private T5Weights(string folder) => _folder = folder;

    /// <summary>Whether a folder has weights under one of the names that are known.</summary>
    public static bool Exist(string folder) => s_known.Any(known => File.Exists(Path.Combine(folder, known.Name)));

    /// <summary>Opens the weights of a folder.</summary>
    /// <exception cref="MdmException">There are none, a file is missing, cut short or damaged.</exception>
    public static T5Weights Open(string folder)
    {
        (string name, bool isIndex) = s_known.FirstOrDefault(known => File.Exists(Path.Combine(folder, known.Name)));
        if (name == null)
            throw new MdmException($"{folder} has no weights, expected {string.Join(", ", s_known.Select(known => known.Name))}");
        var weights = new T5Weights(folder);
        try
        {
            if (isIndex)
                weights.OpenShards(Path.Combine(folder, name));
            else
                foreach (StoredTensor tensor in weights.OpenFile(Path.Combine(folder, name)).Tensors.Values)
                    weights._tensors.Add(tensor.Name, tensor);
            return weights;
        }
        catch
        {
            weights.Dispose();
            throw;
        }
    }

    /// <summary>Throws unless an encoder can be filled.</summary>
    /// <exception cref="MdmException">A tensor is missing or has another shape.</exception>
    public void Require(T5Config config)
    {
        using var encoder = new T5Encoder(config);
        _ = Plan(encoder);
    }

    /// <summary>Fills an encoder.</summary>
    /// <param name="encoder">Built for this folder's sizes.</param>
    /// <param name="progress">Told the share done, 0..1, from any thread.</param>
    /// <exception cref="MdmException">A tensor is missing, has another shape or cannot be read.</exception>
    public void CopyTo(T5Encoder encoder, Action<double>? progress = null)
    {
        (List<StoredParameter> parts, StoredTensor positions) = Plan(encoder);
        encoder.Store.Load(parts, progress);
        positions.CopyTo(encoder.Positions);
    }

    private (List<StoredParameter> Parts, StoredTensor Positions) Plan(T5Encoder encoder)
    {
        T5Config config = encoder.Config;
        var parts = new List<StoredParameter>();
        var missing = new List<string>();
        foreach (Parameter parameter in encoder.Store.Parameters)
        {
            long offset = 0;
            foreach (string[] names in NamesOf(parameter.Name))
            {
                int rows = parameter.Shape.Rank == 2 ? parameter.Shape[0] / NamesOf(parameter.Name).Length : parameter.Shape[0];
                if (Find(names, missing, parameter.Shape.With(0, rows)) is { } stored)
                    parts.Add(new StoredParameter(parameter, stored, offset));
                offset += parameter.Shape.With(0, rows).Count;
            }
        }

        StoredTensor? positions = Find([Positions], missing, new Shape(config.Buckets, config.Heads));
        RequireAll(missing, parts.Count);
        return (parts, positions!);
    }

    public void Dispose()
    {
        foreach (ITensorFile file in _files.Values)
            file.Dispose();
    }

    /// <summary>The tensors that a parameter is made of, one below the other, and the names that each may have.</summary>
    private static string[][] NamesOf(string parameter)
    {
        const string Joined = ".qkv.";
        if (parameter == s_embeddingNames[0])
            return [s_embeddingNames];
        return parameter.Contains(Joined, StringComparison.Ordinal)
            ? [[parameter.Replace(Joined, ".q.")], [parameter.Replace(Joined, ".k.")], [parameter.Replace(Joined, ".v.")]]
            : [[parameter]];
    }

    private StoredTensor? Find(string[] names, List<string> missing, Shape expected)
    {
        StoredTensor? stored = null;
        foreach (string name in names)
            stored ??= _tensors.GetValueOrDefault(name);
        if (stored == null)
            missing.Add(names[0]);
        else if (!stored.Shape.AsSpan().SequenceEqual(Array.ConvertAll(expected.ToArray(), size => (long)size)))
            throw new MdmException($"{_folder}: {stored.Name} has the shape [{string.Join(", ", stored.Shape)}], config.json says "
                + $"{expected}");
        return stored;
    }

    private void RequireAll(List<string> missing, int found)
    {
        if (missing.Count == 0)
            return;
        string names = string.Join(", ", missing.Take(Examples)) + (missing.Count > Examples ? ", .." : "");
        throw new MdmException(found == 0
            ? $"{_folder} holds no T5 encoder: among {_tensors.Count} tensors none has its names ({names})"
            : $"{_folder}: {missing.Count} of the encoder's tensors are missing ({names})");
    }

    private void OpenShards(string indexPath)
    {
        foreach ((string tensor, string file) in ReadIndex(indexPath))
        {
            if (!tensor.StartsWith("encoder.", StringComparison.Ordinal) && !s_embeddingNames.Contains(tensor))
                continue;
            // A name only: an index must not lead out of its folder.
            string path = Path.Combine(_folder, Path.GetFileName(file));
            if (!_files.ContainsKey(path) && !File.Exists(path))
                throw new MdmException($"{path} is missing: {Path.GetFileName(indexPath)} says that it holds {tensor}");
            _tensors.Add(tensor, OpenFile(path).Tensors.GetValueOrDefault(tensor)
                ?? throw new MdmException($"{path}: {tensor} is missing, which {Path.GetFileName(indexPath)} says it holds"));
        }
    }

    private static Dictionary<string, string> ReadIndex(string path)
    {
        try
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(path));
            return json.RootElement.GetProperty("weight_map").EnumerateObject()
                .ToDictionary(entry => entry.Name, entry => entry.Value.GetString()!);
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException or KeyNotFoundException
            or InvalidOperationException or ArgumentException)
        {
            throw new MdmException($"{path}: found no list weight_map of tensors and files ({e.Message})", e);
        }
    }

    private ITensorFile OpenFile(string path)
    {
        if (_files.TryGetValue(path, out ITensorFile? open))
            return open;
        try
        {
            return _files[path] = TensorFile.Open(path);
        }
        catch (MdmException e)
        {
            throw new MdmException($"{e.Message} (is it downloaded completely?)", e);
        }
    }
}

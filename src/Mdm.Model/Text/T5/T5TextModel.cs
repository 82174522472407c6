using System.Text.Json;
using Mdm.Kernels;
using Mdm.Model.Networks;
using Mdm.Model.Text.Hub;
using Mdm.Tensors;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Text.T5;

/// <summary>A T5 encoder as a text model: features of captions, times their mask. Features of captions that come again, the
/// empty one above all, are kept.</summary>
public sealed class T5TextModel : ITextModel
{
    /// <summary>Value of <see cref="Description.Kind"/>.</summary>
    public const string Kind = "t5";

    private readonly IDevice _device;
    private readonly DType _computeType;
    private readonly string _model, _folder;
    private readonly T5Config _config;
    private readonly TokenizerFile _tokenizer;
    private readonly bool _tokenizerIsOwn;
    private readonly FeatureCache _known;
    private T5Encoder? _encoder;

    /// <param name="device">Where it computes.</param>
    /// <param name="model">A folder or the name of a repository (<see cref="T5Location"/>).</param>
    /// <param name="vocabulary">A tokenizer's file; empty or not there: the one in the model's folder.</param>
    /// <param name="computeType">Float32, or bfloat16 where the device computes in it.</param>
    /// <param name="progress">Told the share of the weights that is loaded, 0..1; from any thread.</param>
    /// <param name="cache">Where repositories were downloaded to; null: where the environment says.</param>
    /// <param name="useScores">Of the vocabulary, as <see cref="Tokenizers.Open"/> takes it.</param>
    /// <param name="load">False: the weights are only checked by name and shape, and loaded when they are first needed.</param>
    /// <exception cref="MdmException">The model or its tokenizer is missing, damaged, or of another kind.</exception>
    public T5TextModel(IDevice device, string model, string vocabulary, DType computeType = DType.Float32,
        Action<double>? progress = null, HubCache? cache = null, bool useScores = true, bool load = true)
    {
        (_device, _computeType, _model) = (device, computeType, model);
        _folder = T5Location.Require(model, cache ?? HubCache.Default);
        _config = T5Config.Read(Path.Combine(_folder, "config.json"));
        // The small files first: what is wrong with them should not come to light after minutes of loading.
        (_tokenizer, _tokenizerIsOwn) = T5Tokenizers.Open(_folder, vocabulary, _config.VocabSize, useScores);
        _known = new FeatureCache(_config.Width);
        using T5Weights weights = T5Weights.Open(_folder);
        weights.Require(_config);
        if (load)
            Load(progress);
    }

    public string Name => $"{_model} ({_config.Layers} layers, width {Width}, {_computeType}, tokenizer "
        + $"{Path.GetFileName(_tokenizer.Path)})";

    public int Width => _config.Width;

    /// <summary>Whether the weights are in memory.</summary>
    public bool IsLoaded => _encoder != null;

    public ITokenizer Tokenizer => _tokenizer.Tokenizer;

    /// <summary>How many captions went through the encoder so far; the others were known.</summary>
    public long Encoded { get; private set; }

    public TextFeatures Encode(IReadOnlyList<int[]> captions, int paddedLength = 0) => Tape.Paused(() =>
    {
        PaddedTokens tokens = PaddedTokens.From(captions, Tokenizer.PadId, paddedLength);
        var shape = new Shape(captions.Count, tokens.Length, Width);
        Tensor features = Tensor.Zeros(_device, shape);
        using Scope scope = Scope.Enter();
        Dictionary<int[], Tensor> all = _known.Take(captions, EncodeNew);
        for (int i = 0; i < captions.Count; i++)
        {
            Ptr place = features.Ptr + (long)i * tokens.Length * Width;
            _device.Kernels.CopyRows(captions[i].Length, Width, new Rows(all[captions[i]].Ptr, Width),
                new RowsTarget(place, Width, false));
        }

        return new TextFeatures(features, scope.Return(tokens.MaskOn(_device)));
    });

    public void Prepare(IEnumerable<int[]> captions, Action<string, double>? progress = null)
    {
        int[][] all = [.. captions];
        void Report(double share) => progress?.Invoke(TextModels.Loading, share);
        if (!_known.HasRoomFor(all))
        {
            Load(Report);
            return;
        }

        for (int i = 0; i < all.Length; i++)
        {
            using Scope scope = Scope.Enter();
            _ = Tape.Paused(() => _known.Take([all[i]], missing =>
            {
                Load(Report);
                return EncodeNew(missing);
            }));
            progress?.Invoke("reading the prompts", (i + 1.0) / all.Length);
        }

        _encoder?.Dispose();
        _encoder = null;
        _device.Trim();
    }

    public void Save(string folder)
    {
        // A vocabulary is copied, as it belongs to the run; the model's own tokenizer is found with the model.
        var description = new Description(Kind, _model, _tokenizerIsOwn ? null : _tokenizer.Save(folder));
        string json = JsonSerializer.Serialize(description, TextModels.Json);
        AtomicFile.WriteText(Path.Combine(folder, WordTableTextModel.DescriptionFile), json + "\n");
    }

    public void Dispose()
    {
        _known.Dispose();
        _encoder?.Dispose();
    }

    /// <summary>What <see cref="Save"/> writes beside a checkpoint.</summary>
    internal sealed record Description(string Kind, string Model, string? Vocabulary);

    /// <summary>Features [captions,N,width], float32, 0 at padding.</summary>
    private Tensor EncodeNew(IReadOnlyList<int[]> captions)
    {
        T5Encoder encoder = Load(null);
        PaddedTokens tokens = PaddedTokens.From(captions, Tokenizer.PadId, 0);
        Tensor mask = tokens.MaskOn(_device);
        Tensor x = encoder.Encode(Tensor.From(_device, tokens.Ids, new Shape(captions.Count, tokens.Length)), mask);
        Encoded += captions.Count;
        Tensor masked = Op.PerSample(mask.Reshape(-1), Op.Cast(x, DType.Float32).Reshape(-1, Width));
        return masked.Reshape(captions.Count, tokens.Length, Width);
    }

    private T5Encoder Load(Action<double>? progress)
    {
        if (_encoder != null)
            return _encoder;
        using T5Weights weights = T5Weights.Open(_folder);
        var encoder = new T5Encoder(_config);
        try
        {
            encoder.Place(_device, _computeType);
            weights.CopyTo(encoder, progress);
        }
        catch (OutOfDeviceMemoryException e)
        {
            encoder.Dispose();
            throw e.For($"{_model}, whose {encoder.Store.Size(_computeType.Size())}",
                "'mdm embed' computes the features for training beforehand; " + Devices.RoomForWeights(_device, _computeType));
        }
        catch
        {
            encoder.Dispose();
            throw;
        }

        return _encoder = encoder;
    }
}

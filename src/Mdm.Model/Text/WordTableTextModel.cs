using System.Text.Json;
using Mdm.Kernels;
using Mdm.Model.Networks;
using Mdm.Tensors;
using Mdm.Tensors.Formats;
using Mdm.Tensors.Operations;

namespace Mdm.Model.Text;

/// <summary>
/// A text model without a language model: every token of a vocabulary has a random direction of its own, and every place in
/// the caption has one too, so that "a above b" and "b above a" differ. Feature of token t at place n =
/// √width·(u_t + p_n) with unit vectors u_t and p_n = [sin(n f_k), cos(n f_k)]·√(2/width), f_k = 32^(-2k/width): the
/// shortest waves tell neighbours apart, the longest (200 places) are longer than most captions. Nothing is trained; the table
/// is made again from (vocabulary, seed, width), so that a checkpoint carries those only.
/// </summary>
public sealed class WordTableTextModel : ITextModel
{
    /// <summary>File names in a checkpoint's folder.</summary>
    public const string VocabularyFile = "vocabulary.vocab", DescriptionFile = "text_model.json";

    /// <summary>Value of <see cref="Description.Kind"/>.</summary>
    public const string Kind = "words";

    /// <summary>The slowest frequency is almost this many times slower than the fastest, one radian a place.</summary>
    private const double FrequencyRange = 32;

    private const ulong TableStream = 0x776F_7264_7461_626C;

    private readonly IDevice _device;
    private readonly byte[] _vocabulary;
    private readonly long _seed;
    private readonly Tensor _table;
    private readonly VocabTokenizer _tokenizer;

    /// <param name="device">Where features are made.</param>
    /// <param name="vocabularyPath">A <c>.vocab</c> file.</param>
    /// <param name="seed">Chooses the directions.</param>
    /// <param name="width">Numbers per token, even.</param>
    /// <exception cref="MdmException">The vocabulary cannot be read, or the width is odd.</exception>
    public WordTableTextModel(IDevice device, string vocabularyPath, long seed, int width)
    {
        if (width < 2 || width % 2 != 0)
            throw new MdmException($"text_dim is {width}, expected an even number of at least 2");
        _tokenizer = VocabTokenizer.Load(vocabularyPath);
        _vocabulary = File.ReadAllBytes(vocabularyPath);
        (_device, _seed, Width) = (device, seed, width);
        float[] table = Table((ulong)seed, _tokenizer.Size, width);
        _table = Scope.Detach(Tensor.From(device, table, new Shape(_tokenizer.Size, width)));
    }

    public string Name => $"{Kind} ({_tokenizer.Size} tokens, width {Width}, seed {_seed})";

    public int Width { get; }

    public ITokenizer Tokenizer => _tokenizer;

    public TextFeatures Encode(IReadOnlyList<int[]> captions, int paddedLength = 0) => Tape.Paused(() =>
    {
        PaddedTokens tokens = PaddedTokens.From(captions, _tokenizer.PadId, paddedLength);
        int batch = captions.Count, length = tokens.Length;
        Tensor ids = Tensor.From(_device, tokens.Ids, new Shape(batch, length));
        Tensor places = Tensor.From(_device, Places(batch, length), new Shape(batch, length, Width));
        return new TextFeatures(Op.Add(Op.Embedding(ids, _table), places), tokens.MaskOn(_device));
    });

    public void Save(string folder)
    {
        AtomicFile.Write(Path.Combine(folder, VocabularyFile), stream => stream.Write(_vocabulary));
        var description = new Description(Kind, VocabularyFile, _seed, Width);
        string json = JsonSerializer.Serialize(description, TextModels.Json);
        AtomicFile.WriteText(Path.Combine(folder, DescriptionFile), json + "\n");
    }

    public void Dispose() => _table.Dispose();

    /// <summary>What <see cref="Save"/> writes beside a checkpoint.</summary>
    internal sealed record Description(string Kind, string Vocabulary, long Seed, int Width);

    private static float[] Table(ulong seed, int rows, int width)
    {
        float[] table = new float[checked(rows * width)];
        double[] row = new double[width];
        for (int token = 0; token < rows; token++)
        {
            var random = new PhiloxSequence(seed, TableStream + (ulong)token);
            double squares = 0;
            for (int i = 0; i < width; i++)
            {
                row[i] = random.Normal();
                squares += row[i] * row[i];
            }

            double scale = Math.Sqrt(width / squares);
            for (int i = 0; i < width; i++)
                table[token * width + i] = (float)(row[i] * scale);
        }

        return table;
    }

    private float[] Places(int batch, int length)
    {
        float[] places = new float[batch * length * Width];
        int waves = Width / 2;
        for (int n = 0; n < length; n++)
        {
            for (int k = 0; k < waves; k++)
            {
                double angle = n * Math.Pow(FrequencyRange, -(double)k / waves);
                places[n * Width + k] = (float)(Math.Sqrt(2) * Math.Sin(angle));
                places[n * Width + waves + k] = (float)(Math.Sqrt(2) * Math.Cos(angle));
            }
        }

        for (int b = 1; b < batch; b++)
            places.AsSpan(0, length * Width).CopyTo(places.AsSpan(b * length * Width));
        return places;
    }
}

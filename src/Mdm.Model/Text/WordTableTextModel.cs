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
/// shortest waves tell neighbours apart, the longest (200 places) are longer than most captions. With a context of c,
/// each feature also holds 0.7·√width·u_(t,d) for the tokens t at the distances d = ±1..±c, a direction of its own for every
/// (token, distance): like a language model's features they then tell what a word stands beside. Nothing is trained; the table
/// is made again from (vocabulary, seed, width, context), so that a checkpoint carries those only.
/// </summary>
public sealed class WordTableTextModel : ITextModel
{
    /// <summary>Name of the file in a checkpoint's folder that tells of the text model.</summary>
    public const string DescriptionFile = "text_model.json";

    /// <summary>Value of <see cref="Description.Kind"/>.</summary>
    public const string Kind = "words";

    /// <summary>The slowest frequency is almost this many times slower than the fastest, one radian a place.</summary>
    private const double FrequencyRange = 32;

    /// <summary>How loud a neighbour is beside the token itself.</summary>
    private const float NeighbourShare = 0.7f;

    private const ulong TableStream = 0x776F_7264_7461_626C;

    private readonly IDevice _device;
    private readonly TokenizerFile _vocabulary;
    private readonly long _seed;
    private readonly int _context;
    private readonly Tensor _table;
    private readonly ITokenizer _tokenizer;

    /// <param name="device">Where features are made.</param>
    /// <param name="vocabularyPath">A tokenizer of any kind (<see cref="Tokenizers.Open"/>).</param>
    /// <param name="seed">Chooses the directions.</param>
    /// <param name="width">Numbers per token, even.</param>
    /// <param name="context">How many neighbours on either side each token's feature tells of too.</param>
    /// <param name="useScores">Of the vocabulary, as <see cref="Tokenizers.Open"/> takes it.</param>
    /// <exception cref="MdmException">The vocabulary cannot be read, or the width is odd.</exception>
    public WordTableTextModel(
        IDevice device, string vocabularyPath, long seed, int width, int context = 0, bool useScores = true)
    {
        if (width < 2 || width % 2 != 0)
            throw new MdmException($"text_dim is {width}, expected an even number of at least 2");
        _vocabulary = new TokenizerFile(vocabularyPath, useScores);
        _tokenizer = _vocabulary.Tokenizer;
        (_device, _seed, Width, _context) = (device, seed, width, context);
        // One block of rows for the tokens themselves, then one for each place of a neighbour.
        int rows = checked((2 * context + 1) * _tokenizer.Size);
        float[] table = Table((ulong)seed, rows, width);
        foreach (ref float value in table.AsSpan(_tokenizer.Size * width))
            value *= NeighbourShare;
        _table = Scope.Detach(Tensor.From(device, table, new Shape(rows, width)));
    }

    public string Name => $"{Kind} ({_tokenizer.Size} tokens, width {Width}, {_context} neighbours, seed {_seed})";

    public int Width { get; }

    public ITokenizer Tokenizer => _tokenizer;

    public TextFeatures Encode(IReadOnlyList<int[]> captions, int paddedLength = 0) => Tape.Paused(() =>
    {
        PaddedTokens tokens = PaddedTokens.From(captions, _tokenizer.PadId, paddedLength);
        int batch = captions.Count, length = tokens.Length;
        Tensor features = Tensor.From(_device, Places(batch, length), new Shape(batch, length, Width));
        features = Op.Add(features, Op.Embedding(Tensor.From(_device, tokens.Ids, new Shape(batch, length)), _table));
        int block = 0;
        for (int distance = -_context; distance <= _context; distance++)
        {
            if (distance == 0)
                continue;
            int[] neighbours = Neighbours(tokens, distance, ++block * _tokenizer.Size);
            features = Op.Add(features, Op.Embedding(Tensor.From(_device, neighbours, new Shape(batch, length)), _table));
        }

        return new TextFeatures(features, tokens.MaskOn(_device));
    });

    /// <summary>For every token the table's row of the token at a distance from it; -1, which stands for zeros, where there is
    /// none.</summary>
    private int[] Neighbours(PaddedTokens tokens, int distance, int firstRow)
    {
        int[] rows = new int[tokens.Ids.Length];
        for (int i = 0; i < rows.Length; i++)
        {
            int place = i % tokens.Length + distance;
            bool inside = place >= 0 && place < tokens.Length && tokens.Ids[i + distance] != _tokenizer.PadId;
            rows[i] = inside ? firstRow + tokens.Ids[i + distance] : -1;
        }

        return rows;
    }

    public void Save(string folder)
    {
        var description = new Description(Kind, _vocabulary.Save(folder), _seed, Width, _context);
        string json = JsonSerializer.Serialize(description, TextModels.Json);
        AtomicFile.WriteText(Path.Combine(folder, DescriptionFile), json + "\n");
    }

    public void Dispose() => _table.Dispose();

    /// <summary>What <see cref="Save"/> writes beside a checkpoint.</summary>
    internal sealed record Description(string Kind, string Vocabulary, long Seed, int Width, int Context = 0);

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

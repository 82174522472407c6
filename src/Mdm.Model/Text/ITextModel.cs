using Mdm.Model.Networks;
using Mdm.Tensors;

namespace Mdm.Model.Text;

/// <summary>A frozen language model: what turns captions into features that the networks are conditioned on.</summary>
public interface ITextModel : IDisposable
{
    /// <summary>For people and logs.</summary>
    string Name { get; }

    /// <summary>Numbers per token.</summary>
    int Width { get; }

    /// <summary>The tokens that <see cref="Encode"/> understands.</summary>
    ITokenizer Tokenizer { get; }

    /// <summary>Features [B,N,Width] of captions and the mask [B,N] (1 = a token, 0 = padding), never recorded on a tape. N is
    /// the longest caption's length, or paddedLength where that is given.</summary>
    /// <param name="captions">Token numbers, not padded.</param>
    /// <param name="paddedLength">0, or a length that no caption exceeds.</param>
    TextFeatures Encode(IReadOnlyList<int[]> captions, int paddedLength = 0);

    /// <summary>Computes the features of captions beforehand. If all of them can be kept, what the model needs to compute more
    /// leaves the memory, and comes back when a caption is asked for that is not among them.</summary>
    /// <param name="captions">Token numbers, not padded; all that are to come.</param>
    /// <param name="progress">Told what is done and its share, 0..1; from any thread.</param>
    void Prepare(IEnumerable<int[]> captions, Action<string, double>? progress = null)
    {
    }

    /// <summary>Writes into a checkpoint's folder what <see cref="TextModels.Load"/> needs to make this model again.</summary>
    void Save(string folder);
}

/// <summary>Captions of different lengths as one rectangle.</summary>
/// <param name="Ids">Token numbers [B,N], row by row, padding included.</param>
/// <param name="Mask">1 where <paramref name="Ids"/> has no padding token, else 0.</param>
/// <param name="Length">N, at least 1.</param>
internal sealed record PaddedTokens(int[] Ids, float[] Mask, int Length)
{
    public static PaddedTokens From(IReadOnlyList<int[]> captions, int padding, int paddedLength)
    {
        int longest = captions.Count == 0 ? 0 : captions.Max(tokens => tokens.Length);
        if (paddedLength > 0 && longest > paddedLength)
            throw new ArgumentException($"a caption of {longest} tokens does not fit {paddedLength}");
        int length = paddedLength > 0 ? paddedLength : Math.Max(1, longest);
        int[] ids = new int[captions.Count * length];
        Array.Fill(ids, padding);
        for (int i = 0; i < captions.Count; i++)
            captions[i].CopyTo(ids, i * length);
        return new PaddedTokens(ids, Array.ConvertAll(ids, id => id == padding ? 0f : 1f), length);
    }

    /// <summary>The mask as a tensor [B,N].</summary>
    public Tensor MaskOn(Mdm.Kernels.IDevice device) => Tensor.From(device, Mask, new Shape(Ids.Length / Length, Length));
}

using System.Globalization;
using System.Text;
using Mdm.Kernels;
using Mdm.Model.Text;

namespace Mdm.Model.Tests.Text;

public class JsonTokenizerTests
{
    /// <summary>Every text gets the ids that SentencePiece gives, or those of Hugging Face's library where that is known to
    /// differ; except for the texts named here, where we keep to SentencePiece: marks after a replaced character, which the
    /// library loses, and a sign (U+32FF) that its Unicode tables are too old for.</summary>
    [TestCase("sp_t5", "sp_t5/tokenizer.json", 14, "combining_many", "r120", "r130", "r195")]
    [TestCase("sp_t5", "sp_t5/tokenizer_nmt.json", 45)]
    [TestCase("sp_byte", "sp_byte/tokenizer.json", 53, "circled")]
    public void Recorded_texts_get_the_ids_of_the_library(string model, string file, int differences, params string[] better)
    {
        JsonTokenizer tokenizer = JsonTokenizer.Load(RecordedTexts.Path(file));
        Dictionary<string, (int[] Ids, string Why)> library = RecordedTexts.Differences(file);
        Assert.That(library, Has.Count.EqualTo(differences));
        Assert.Multiple(() =>
        {
            foreach (RecordedText recorded in RecordedTexts.Of(model))
            {
                (int[] expected, string why) = library.TryGetValue(recorded.Name, out (int[] Ids, string Why) different)
                    && !better.Contains(recorded.Name) ? different : (recorded.Ids, "as SentencePiece");
                Assert.That(tokenizer.Encode(recorded.Text), Is.EqualTo(expected), $"{recorded.Name} ({why})");
            }
        });
    }
}

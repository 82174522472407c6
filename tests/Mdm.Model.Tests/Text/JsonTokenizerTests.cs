using Mdm.Model.Text;

namespace Mdm.Model.Tests.Text;

public class JsonTokenizerTests
{
    /// <summary>Every text gets the ids that SentencePiece gives, or those of Hugging Face's library where that is known to
    /// differ; except for marks after a replaced character, which that library loses and we keep.</summary>
    [TestCase("sp_t5", "sp_t5/tokenizer.json", 4)]
    public void Recorded_texts_get_the_ids_of_the_library(string model, string file, int better)
    {
        JsonTokenizer tokenizer = JsonTokenizer.Load(RecordedTexts.Path(file));
        Dictionary<string, (int[] Ids, string Why)> differences = RecordedTexts.Differences(file);
        Assert.Multiple(() =>
        {
            foreach (RecordedText recorded in RecordedTexts.Of(model))
            {
                int[] expected = recorded.Ids;
                string why = "as SentencePiece";
                if (differences.TryGetValue(recorded.Name, out (int[] Ids, string Why) difference))
                {
                    why = difference.Why;
                    if (why.StartsWith("grapheme", StringComparison.Ordinal))
                        better--;
                    else
                        expected = difference.Ids;
                }

                Assert.That(tokenizer.Encode(recorded.Text), Is.EqualTo(expected), $"{recorded.Name} ({why})");
            }
        });
        Assert.That(better, Is.Zero);
    }
}

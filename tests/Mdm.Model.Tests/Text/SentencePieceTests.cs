using Mdm.Model.Text;

namespace Mdm.Model.Tests.Text;

public class SentencePieceTests
{
    [TestCase("sp_t5", 800)]
    [TestCase("sp_byte", 850)]
    public void Recorded_texts_get_the_ids_of_SentencePiece(string model, int size)
    {
        SentencePieceTokenizer tokenizer = SentencePieceTokenizer.Load(RecordedTexts.Path($"{model}/spiece.model"));
        Assert.That((tokenizer.Size, tokenizer.PadId, tokenizer.EndId), Is.EqualTo((size, 0, 1)));
        List<RecordedText> texts = RecordedTexts.Of(model);
        Assert.That(texts, Has.Count.EqualTo(386));
        Assert.Multiple(() =>
        {
            foreach (RecordedText recorded in texts)
            {
                Assert.That(tokenizer.Encode(recorded.Text), Is.EqualTo(recorded.Ids), $"ids of {recorded.Name}");
                Assert.That(tokenizer.Normalize(recorded.Text), Is.EqualTo(recorded.Normalized), $"text of {recorded.Name}");
                string[] pieces = tokenizer.Pieces(recorded.Text);
                Assert.That(string.Concat(pieces), Is.EqualTo(recorded.Normalized), $"pieces of {recorded.Name}");
                if (recorded.Pieces != null)
                    Assert.That(pieces, Is.EqualTo(recorded.Pieces), $"pieces of {recorded.Name}");
            }
        });
    }
}

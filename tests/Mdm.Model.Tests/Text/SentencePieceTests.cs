using Mdm.Kernels;
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

    [Test]
    public void Settings_of_spaces_are_kept()
    {
        const string text = "  a  b ";
        Assert.That(Normalized(new()), Is.EqualTo("_a_b"));
        Assert.That(Normalized(new() { AddsSpace = false }), Is.EqualTo("a_b"));
        Assert.That(Normalized(new() { SpaceIsSuffix = true }), Is.EqualTo("a_b_"));
        Assert.That(Normalized(new() { SpaceIsSuffix = true, AddsSpace = false }), Is.EqualTo("a_b"));
        Assert.That(Normalized(new() { RemovesSpaces = false }), Is.EqualTo("___a__b_"));
        Assert.That(Normalized(new() { RemovesSpaces = false, SpaceIsSuffix = true }), Is.EqualTo("__a__b__"));
        Assert.That(Normalized(new() { MarksSpaces = false }), Is.EqualTo(" a b"));

        static string Normalized(SentencePieceWriter writer) => SentencePieceTokenizer.Load(writer.WithSpecials().Write())
            .Normalize(text).Replace('\u2581', '_');
    }

    [Test]
    public void The_users_pieces_win_and_unused_ones_do_not_match()
    {
        string path = new SentencePieceWriter { AddsSpace = false }.WithSpecials()
            .Add("a", -1).Add("b", -1).Add("ab", -0.01f).Add("ba", -0.02f, SentencePieceWriter.Unused)
            .Add("aab", -0.5f, SentencePieceWriter.UserDefined).Add("<end>", 0, SentencePieceWriter.Control).Write();
        SentencePieceTokenizer tokenizer = SentencePieceTokenizer.Load(path);
        Assert.That(tokenizer.Encode("ab"), Is.EqualTo(new[] { 5 }));
        Assert.That(tokenizer.Encode("ba"), Is.EqualTo(new[] { 4, 3 }), "unused");
        Assert.That(tokenizer.Encode("xaab"), Is.EqualTo(new[] { 2, 7 }), "score -0.1, whatever the file says");
        Assert.That(tokenizer.Encode("<end>"), Is.EqualTo(new[] { 2 }), "control");
        Assert.That(tokenizer.HasMeaning(7) && !tokenizer.HasMeaning(2) && !tokenizer.HasMeaning(8));
    }

    [Test]
    public void The_users_pieces_are_not_normalised()
    {
        // A table with a single string: A becomes a. The root leads to 'A', whose place holds where "a" begins.
        uint[] units = new uint[256];
        units[0] = 128 << 10;
        units[128 ^ 'A'] = 'A' | 1 << 8 | 1 << 10;
        units[128 ^ 'A' ^ 1] = 1u << 31;
        byte[] table = [.. BitConverter.GetBytes(1024), .. units.SelectMany(BitConverter.GetBytes), (byte)'a', 0];
        string path = new SentencePieceWriter { AddsSpace = false, Characters = table }.WithSpecials()
            .Add("a", -1).Add("Ab", 0, SentencePieceWriter.UserDefined).Write();
        SentencePieceTokenizer tokenizer = SentencePieceTokenizer.Load(path);
        Assert.That(tokenizer.Normalize("AAbA"), Is.EqualTo("aAba"));
        Assert.That(tokenizer.Encode("AAbA"), Is.EqualTo(new[] { 3, 4, 3 }));
    }

    /// <summary>Against every way to cut a text, tried one after the other.</summary>
    [Test]
    public void The_best_of_all_cuts_is_found()
    {
        var random = new Random(11);
        for (int trial = 0; trial < 200; trial++)
        {
            var scores = new Dictionary<string, float>();
            for (int i = random.Next(2, 12); i > 0; i--)
                scores[Letters(random, random.Next(1, 5))] = -(float)random.NextDouble() * 10;
            var writer = new SentencePieceWriter { AddsSpace = false };
            writer.WithSpecials();
            foreach ((string piece, float score) in scores)
                writer.Add(piece, score);
            float unknown = scores.Values.Min() - 10;
            SentencePieceTokenizer tokenizer = SentencePieceTokenizer.Load(writer.Write());
            string text = Letters(random, random.Next(1, 11));
            string[] found = tokenizer.Pieces(text);
            Assert.That(string.Concat(found), Is.EqualTo(text));
            double total = found.Sum(piece => scores.TryGetValue(piece, out float known) ? known : piece.Length * unknown);
            Assert.That(total, Is.EqualTo(Best(text)).Within(1e-4), text);

            double Best(string rest) => rest.Length == 0 ? 0 : Enumerable.Range(1, rest.Length)
                .Where(length => length == 1 || scores.ContainsKey(rest[..length]))
                .Max(length => scores.GetValueOrDefault(rest[..length], unknown) + Best(rest[length..]));
        }

        static string Letters(Random random, int length) =>
            string.Concat(Enumerable.Range(0, length).Select(_ => "abc\u00E9"[random.Next(4)]));
    }

    [Test]
    public void Unfit_models_are_refused()
    {
        Refused(new SentencePieceWriter { ModelType = 2 }.WithSpecials(), "of type BPE, expected Unigram");
        Refused(new SentencePieceWriter { ModelType = 9 }.WithSpecials(), "of type 9, expected Unigram");
        Refused(new SentencePieceWriter(), "none of 0 pieces is for unknown text");
        Refused(new SentencePieceWriter().WithSpecials().Add("<unk2>", 0, SentencePieceWriter.Unknown), "pieces 2 and 3 both");
        SentencePieceWriter unknown = new SentencePieceWriter().Add("<unk>", 0, SentencePieceWriter.Unknown);
        Refused(unknown.Add("<pad>", 0, SentencePieceWriter.Control), "control piece </s> is missing among 2 pieces");
        unknown = new SentencePieceWriter().Add("<unk>", 0, SentencePieceWriter.Unknown);
        Refused(unknown.Add("</s>", 0, SentencePieceWriter.Control), "control piece <pad> is missing among 2 pieces");
        Refused(new SentencePieceWriter { EndPiece = "<eos>" }.WithSpecials(), "control piece <eos> is missing");
        Refused(new SentencePieceWriter().WithSpecials().Add("", -1), "piece 3 is empty");
        Refused(new SentencePieceWriter().WithSpecials().Add("a", float.NaN), "piece 3 has the score NaN");
        Refused(new SentencePieceWriter().WithSpecials().Add("a", -1, 7), "piece 3 has the type 7, expected 1 to 6");
        Refused(new SentencePieceWriter { ByteFallback = true }.WithSpecials().Add("<0x00>", 0, SentencePieceWriter.Byte),
            "found pieces of 1 bytes, expected all 256");
        Refused(new SentencePieceWriter { ByteFallback = true }.WithSpecials().Add("<0xZZ>", 0, SentencePieceWriter.Byte),
            "piece 3 is '<0xZZ>', expected a byte");
        Refused(new SentencePieceWriter { Characters = [1, 2, 3] }.WithSpecials(), "the 3 bytes of its precompiled_charsmap");

        static void Refused(SentencePieceWriter writer, string expected)
        {
            string path = writer.Write("refused.model");
            Assert.That(() => SentencePieceTokenizer.Load(path), Throws.TypeOf<MdmException>()
                .With.Message.Contains(expected).And.Message.Contains(path));
        }
    }
}

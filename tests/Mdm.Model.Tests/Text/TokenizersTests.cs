using System.Text;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Text;

namespace Mdm.Model.Tests.Text;

/// <summary>What holds for tokenizers of every kind.</summary>
public class TokenizersTests
{
    private static readonly string[] s_files =
    [
        "sp_t5/spiece.model", "sp_byte/spiece.model", "sp_t5/tokenizer.json", "sp_t5/tokenizer_nmt.json",
        "sp_byte/tokenizer.json", "mdm_t5.vocab", "mdm_small.vocab",
    ];

    private static string Work(string name) => Path.Combine(TestContext.CurrentContext.WorkDirectory, name);

    [Test]
    public void The_kind_is_found_by_name_or_content()
    {
        Assert.That(Tokenizers.Open(RecordedTexts.Path("mdm_t5.vocab")), Is.TypeOf<VocabTokenizer>());
        Assert.That(Tokenizers.Open(RecordedTexts.Path("sp_byte/spiece.model")), Is.TypeOf<SentencePieceTokenizer>());
        Assert.That(Tokenizers.Open(RecordedTexts.Path("sp_t5/tokenizer_nmt.json")), Is.TypeOf<JsonTokenizer>());
        foreach (string file in s_files)
        {
            // Downloaded files often have a hash for a name.
            string copy = Work("4f3a9c");
            File.Copy(RecordedTexts.Path(file), copy, overwrite: true);
            Assert.That(Tokenizers.Open(copy), Is.TypeOf(Tokenizers.Open(RecordedTexts.Path(file)).GetType()), file);
        }
    }

    [Test]
    public void A_folder_gives_its_spiece_model_or_else_its_tokenizer_json()
    {
        string folder = Work("tokenizer folder");
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
        Directory.CreateDirectory(folder);
        Assert.That(() => Tokenizers.Open(folder), Throws.TypeOf<MdmException>().With.Message.EqualTo(
            $"folder {folder} holds no tokenizer, expected spiece.model or tokenizer.json"));
        File.Copy(RecordedTexts.Path("sp_t5/tokenizer.json"), Path.Combine(folder, "tokenizer.json"));
        Assert.That(Tokenizers.Open(folder), Is.TypeOf<JsonTokenizer>());
        File.Copy(RecordedTexts.Path("sp_t5/spiece.model"), Path.Combine(folder, "spiece.model"));
        Assert.That(Tokenizers.Open(folder), Is.TypeOf<SentencePieceTokenizer>());
    }

    [TestCaseSource(nameof(s_files))]
    public void Any_text_is_tokenised(string file)
    {
        ITokenizer tokenizer = Tokenizers.Open(RecordedTexts.Path(file));
        var random = new Random(3);
        for (int i = 0; i < 2000; i++)
        {
            string text = RandomText(random);
            int[] ids = tokenizer.Encode(text);
            Assert.That(ids.All(id => id >= 0 && id < tokenizer.Size), text);
            Assert.That(tokenizer.Encode(text), Is.EqualTo(ids));
            if (tokenizer is SentencePieceTokenizer model)
                Assert.That(string.Concat(model.Pieces(text)), Is.EqualTo(model.Normalize(text)), text);
        }
    }

    [Test]
    public void SentencePiece_and_tokenizer_json_agree()
    {
        var model = (SentencePieceTokenizer)Tokenizers.Open(RecordedTexts.Path("sp_t5/spiece.model"));
        ITokenizer json = Tokenizers.Open(RecordedTexts.Path("sp_t5/tokenizer.json"));
        var random = new Random(4);
        int compared = 0;
        for (int i = 0; i < 3000; i++)
        {
            string text = RandomText(random);
            // Where they are meant to differ: U+0085 is a space to one, and added tokens are cut out (normalised ones too).
            string both = text + model.Normalize(text);
            if (text.Contains('\u0085') || new[] { "<pad>", "</s>", "<unk>", "<extra_id" }.Any(both.Contains))
                continue;
            Assert.That(json.Encode(text), Is.EqualTo(model.Encode(text)), text);
            compared++;
        }

        Assert.That(compared, Is.GreaterThan(1500));
    }

    [TestCaseSource(nameof(s_files))]
    public void Texts_of_100_kB_are_tokenised(string file)
    {
        ITokenizer tokenizer = Tokenizers.Open(RecordedTexts.Path(file));
        const int size = 100_000;
        string[] parts = ["a red circle on a table, ", "a", " ", "<", "</s>", "e\u0301\u0323", "\u6F22", "\u200D", "\uD83D\uDE00"];
        foreach (string part in parts)
        {
            string text = string.Concat(Enumerable.Repeat(part, size / part.Length));
            Assert.That(tokenizer.Encode(text), Has.Length.LessThanOrEqualTo(4 * size), part);
        }
    }

    [TestCaseSource(nameof(s_files))]
    public void Damaged_files_are_read_or_refused(string file)
    {
        byte[] good = File.ReadAllBytes(RecordedTexts.Path(file));
        string path = Work("damaged" + Path.GetExtension(file));
        var random = new Random(5);
        int refused = 0;
        for (int i = 0; i < 120; i++)
        {
            byte[] bytes = i < 40 ? good[..random.Next(good.Length)] : [.. good];
            // Most of a file is the table of characters: damage the vocabulary as often.
            if (i >= 40)
                bytes[random.Next(i % 2 == 0 ? bytes.Length : bytes.Length / 20)] ^= (byte)(1 << random.Next(8));
            File.WriteAllBytes(path, bytes);
            try
            {
                ITokenizer tokenizer = Tokenizers.Open(path);
                Assert.That(tokenizer.Encode("\uFF41 photograph of caf\u00E9 \u6F22 </s>"), Is.Not.Null);
            }
            catch (MdmException e)
            {
                Assert.That(e.Message, Does.Not.Contain('\n').And.Contain(path));
                refused++;
            }
        }

        Assert.That(refused, Is.GreaterThanOrEqualTo(file.EndsWith("vocab", StringComparison.Ordinal) ? 2 : 40));
    }

    [TestCase("a.model", "", "is empty, expected a tokenizer")]
    [TestCase("a.json", "", "is empty, expected a tokenizer")]
    [TestCase("a.json", "<!DOCTYPE html><p>404</p>", "is a web page, expected a tokenizer")]
    [TestCase("a.model", "<html><p>404</p>", "is a web page, expected a tokenizer")]
    [TestCase("a.model", "version https://git-lfs.github.com/spec/v1\nsize 791656\n", "is a Git LFS pointer")]
    [TestCase("a.model", "no model at all", "is no complete SentencePiece model")]
    [TestCase("a.model", "\u0012\u0000", "ends after 0 pieces without its settings")]
    [TestCase("a.json", "{'model': {", "is no complete JSON")]
    [TestCase("a.json", "[1]", "the file is [1], expected an object")]
    [TestCase("a.json", "{}", "model is missing, expected a Hugging Face tokenizer")]
    [TestCase("a.json", "{'model':{'type':'BPE','vocab':{}}}", "model.type is \"BPE\", expected Unigram")]
    [TestCase("a.json", "{'model':{'type':'WordPiece','vocab':{}}}", "model.type is \"WordPiece\", expected Unigram")]
    [TestCase("a.json", "{'model':{'type':'Unigram'}}", "model has no vocab")]
    [TestCase("a.json", "{'model':{'type':'Unigram','vocab':[]}}", "model.vocab is [], expected pieces")]
    [TestCase("a.json", "{'model':{'type':'Unigram','vocab':[['a',0,1]]}}", "model.vocab[0] is [\"a\",0,1]")]
    [TestCase("a.json", "{'model':{'type':'Unigram','vocab':[['a','b']]}}", "model.vocab[0][1] is \"b\", expected a number")]
    [TestCase("a.json", "{'model':{'type':'Unigram','vocab':[['\\ud800',1]]}}", "model.vocab[0][0] is")]
    [TestCase("a.json", "{'model':{'type':'Unigram','vocab':[['a',0],['a',1]]}}", "model.vocab[1] is [\"a\",1]")]
    [TestCase("a.json", "{'model':{'type':'Unigram','unk_id':1,'vocab':[['a',0]]}}", "model.unk_id is 1, expected one of 1")]
    [TestCase("a.json", "{'model':{'type':'Unigram','byte_fallback':true,'vocab':[['a',0]]}}", "found pieces of 0 bytes, expected all 256")]
    [TestCase("a.json", "{'model':{'type':'Unigram','vocab':[['</s>',0]]}}", "token <pad> is missing among 1 tokens")]
    [TestCase("a.json", "{'model':{'type':'Unigram','vocab':[['<pad>',0]]}}", "token </s> is missing among 1 tokens")]
    [TestCase("a.json", "{'normalizer':{'type':'BertNormalizer'},'model':M}", "a normalizer of type Sequence")]
    [TestCase("a.json", "{'normalizer':{'type':'Precompiled','precompiled_charsmap':'?'},'model':M}", "expected base64")]
    [TestCase("a.json", "{'normalizer':{'type':'Precompiled','precompiled_charsmap':'AAAA'},'model':M}", "expected a table")]
    [TestCase("a.json", "{'normalizer':{'type':'Replace','pattern':{'Regex':'(a)\\\\1'},'content':''},'model':M}",
        "expected a regular expression")]
    [TestCase("a.json", "{'pre_tokenizer':{'type':'ByteLevel'},'model':M}", "a pre_tokenizer of type Sequence")]
    [TestCase("a.json", "{'pre_tokenizer':{'type':'Metaspace','prepend_scheme':'often'},'model':M}", "always, first or never")]
    [TestCase("a.json", "{'added_tokens':[{'id':5,'content':'<pad>'}],'model':M}", "expected the id 0, which the vocabulary")]
    [TestCase("a.json", "{'added_tokens':[{'id':-5,'content':'<x>'}],'model':M}", "is -5, expected an integer from 0")]
    public void Unfit_files_are_refused_in_one_line(string name, string content, string expected)
    {
        const string model = "{'type':'Unigram','unk_id':2,'vocab':[['<pad>',0],['</s>',0],['<unk>',0]]}";
        string path = Work(name);
        File.WriteAllText(path, content.Replace("'model':M", $"'model':{model}", StringComparison.Ordinal).Replace('\'', '"'));
        Assert.That(() => Tokenizers.Open(path), Throws.TypeOf<MdmException>()
            .With.Message.Contains(expected).And.Message.Contains(path).And.Message.Not.Contains('\n'));
    }

    [TestCase("/no/such/spiece.model")]
    [TestCase("/no/such/tokenizer.json")]
    [TestCase("/no/such/words.vocab")]
    [TestCase("/no/such/thing")]
    public void A_missing_file_is_named(string path) =>
        Assert.That(() => Tokenizers.Open(path), Throws.TypeOf<MdmException>().With.Message.Contains(path));

    [TestCase("sp_t5/spiece.model")]
    [TestCase("sp_t5/tokenizer.json")]
    public void Captions_get_no_spaces_but_an_end(string file)
    {
        ITokenizer tokenizer = Tokenizers.Open(RecordedTexts.Path(file));
        var captions = new CaptionTokenizer(tokenizer, new ReaderConfig());
        int[] expected = [7, 101, 111, 1];
        Assert.That(captions.EncodeCaption("a red circle", out int[] tokens), Is.EqualTo(CaptionFate.Kept));
        Assert.That(tokens, Is.EqualTo(expected));
        Assert.That(captions.EncodePrompt("a red circle", out string? warning), Is.EqualTo(expected));
        Assert.That(warning, Is.Null);
        Assert.That((captions.Empty, captions.Padding), Is.EqualTo((new[] { 1 }, 0)));
        var bare = new CaptionTokenizer(tokenizer, new ReaderConfig { PrepadCaptionWithSpace = false, AppendEos = false });
        Assert.That(bare.EncodePrompt("a red circle", out _), Is.EqualTo(expected[..^1]));
    }

    [TestCase("sp_t5/spiece.model", true)]
    [TestCase("sp_t5/tokenizer.json", true)]
    [TestCase("sp_byte/spiece.model", false)]
    public void Unknown_words_are_told(string file, bool isUnknown)
    {
        var captions = new CaptionTokenizer(Tokenizers.Open(RecordedTexts.Path(file)), new ReaderConfig());
        Assert.That(captions.IsUnknown("\u4E5C \u4E5D\u4E5C"), Is.EqualTo(isUnknown));
        Assert.That(captions.IsUnknown("  "));
        Assert.That(captions.IsUnknown("red \u4E5C"), Is.False);
        captions.EncodePrompt("red \u4E5C circle", out string? warning);
        Assert.That(warning, isUnknown ? Is.EqualTo("not in the vocabulary: \u4E5C") : Is.Null);
    }

    /// <summary>Words of captions, special tokens, characters of every block, halves of pairs and controls among them.</summary>
    private static string RandomText(Random random)
    {
        string[] parts = ["a red circle", " on", "a", " ", "  ", "</s>", "<pad>", "<extra_id_1>", "<0x41>", "\uFF1C/s>",
            "\u2581", "\t"];
        var text = new StringBuilder();
        for (int i = random.Next(12); i > 0; i--)
        {
            switch (random.Next(6))
            {
                case 0:
                    text.Append((char)random.Next(0x10000));
                    break;
                case 1:
                    text.Append((char)random.Next(0x300));
                    break;
                case 2:
                    text.Append("\u0301\u0323\u20DD\u094D\u200D\uFE0F"[random.Next(6)]);
                    break;
                case 3 when random.Next(0x20, 0x110000) is var code && code is < 0xD800 or > 0xDFFF:
                    text.Append(char.ConvertFromUtf32(code));
                    break;
                default:
                    text.Append(parts[random.Next(parts.Length)]);
                    break;
            }
        }

        return text.ToString();
    }
}

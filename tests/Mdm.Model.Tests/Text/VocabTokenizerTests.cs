using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Mdm.Kernels;
using Mdm.Model.Text;
using Mdm.Tests;

namespace Mdm.Model.Tests.Text;

public class VocabTokenizerTests
{
    private static string Golden(string name) => GoldenFiles.Require(Path.Combine("text", name));

    private static int[] Integers(JsonElement element) => [.. element.EnumerateArray().Select(item => item.GetInt32())];

    [TestCase("mdm_small.vocab", 4 * 116)]
    [TestCase("mdm_t5.vocab", 2 * 235)]
    public void RecordedCasesAreReproduced(string vocabulary, int count)
    {
        using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(Golden("mdm_cases.json")));
        JsonElement recorded = json.RootElement.GetProperty(vocabulary);
        VocabTokenizer tokenizer = VocabTokenizer.Load(Golden(vocabulary));
        VocabTokenizer unit = VocabTokenizer.Load(Golden(vocabulary), useScores: false);
        Assert.That(tokenizer.Size, Is.EqualTo(recorded.GetProperty("vocab_size").GetInt32()));
        Assert.That(tokenizer.EndId, Is.EqualTo(recorded.GetProperty("eos").GetInt32()));
        Assert.That(tokenizer.PadId, Is.EqualTo(recorded.GetProperty("pad").GetInt32()));
        Assert.That(tokenizer.Find("<unk>"), Is.EqualTo(recorded.GetProperty("bos").GetInt32()));
        int compared = 0;
        foreach (JsonElement item in recorded.GetProperty("cases").EnumerateArray())
        {
            string text = item.GetProperty("text").GetString()!;
            var found = new Dictionary<string, Func<int[]>>
            {
                ["ids"] = () => [.. tokenizer.Encode(" " + text), tokenizer.EndId],
                ["ids_trailing"] = () => [.. tokenizer.Encode(" " + text + " "), tokenizer.EndId],
                ["ids_raw"] = () => tokenizer.Encode(text),
                ["ids_unit"] = () => [.. unit.Encode(" " + text), unit.EndId],
            };
            foreach ((string name, Func<int[]> encode) in found)
                if (item.TryGetProperty(name, out JsonElement expected))
                {
                    Assert.That(encode(), Is.EqualTo(Integers(expected)), $"{name} of '{text}'");
                    compared++;
                }
        }

        Assert.That(compared, Is.EqualTo(count));
    }

    [Test]
    public void DeadEndSwallowsWhatFollowsLastNode()
    {
        string path = Write("<pad>\t0", "</s>\t0", "\u2581photo\t-1", "quux\t-1", "\u2581\t-1");
        VocabTokenizer tokenizer = VocabTokenizer.Load(path);
        // The q waits for quux, the space kills it, and both vanish.
        Assert.That(tokenizer.Encode(" photoq "), Is.EqualTo(new[] { 2 }));
        Assert.That(tokenizer.Encode("\u2581"), Is.Empty);
        Assert.That(tokenizer.Encode(""), Is.Empty);
        Assert.That(tokenizer.Encode("zzz"), Is.Empty);
        Assert.That(tokenizer.Encode("</s> "), Is.EqualTo(new[] { 1, 4 }));
        Assert.That(tokenizer.Find(" photo"), Is.EqualTo(2));
        Assert.That(tokenizer.Find("pho"), Is.EqualTo(-1));
    }

    [Test]
    public void LongPromptsTakeMilliseconds()
    {
        VocabTokenizer tokenizer = VocabTokenizer.Load(Golden("mdm_t5.vocab"));
        var text = new StringBuilder();
        while (text.Length < 100_000)
            text.Append(" a photograph of the \u00e9 large red circle, \u6771");
        string prompt = text.ToString()[..100_000];
        _ = tokenizer.Encode(prompt[..1000]);
        var clock = Stopwatch.StartNew();
        Assert.That(tokenizer.Encode(prompt), Has.Length.GreaterThan(10_000));
        Assert.That(clock.ElapsedMilliseconds, Is.LessThan(500));
    }

    [TestCase("<pad>\t0\na\t-1\n", "token </s> is missing among 2 tokens")]
    [TestCase("</s>\t0\na\t-1\n", "token <pad> is missing among 2 tokens")]
    [TestCase("", "token <pad> is missing among 0 tokens")]
    [TestCase("<pad>\t0\n</s> 0\n", "line 2: found '</s> 0', expected a token, a tab and a log-probability")]
    [TestCase("<pad>\t0\n</s>\t0,5\n", "line 2")]
    [TestCase("<pad>\t0\n\t-1\n", "line 2")]
    [TestCase("<pad>\t0\n</s>\tNaN\n", "line 2")]
    public void BadVocabulariesAreRefused(string content, string expected)
    {
        string path = Write(content);
        Assert.That(() => VocabTokenizer.Load(path),
            Throws.TypeOf<MdmException>().With.Message.Contains(expected).And.Message.Contains(path));
    }

    [Test]
    public void MissingVocabularyIsNamed() => Assert.That(() => VocabTokenizer.Load("/no/such.vocab"),
        Throws.TypeOf<MdmException>().With.Message.Contains("/no/such.vocab"));

    [Test]
    public void DamagedVocabulariesAreReadOrRefused()
    {
        byte[] good = File.ReadAllBytes(Golden("mdm_small.vocab"));
        var random = new Random(5);
        for (int i = 0; i < 300; i++)
        {
            byte[] bytes = i < 50 ? good[..random.Next(good.Length)] : [.. good];
            if (i >= 50)
                bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
            string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, "damaged.vocab");
            File.WriteAllBytes(path, bytes);
            try
            {
                Assert.That(VocabTokenizer.Load(path).Encode(" photograph of cats"), Is.Not.Null);
            }
            catch (MdmException e)
            {
                Assert.That(e.Message, Does.Not.Contain('\n'));
            }
        }
    }

    private static string Write(params string[] lines)
    {
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, "written.vocab");
        File.WriteAllText(path, string.Join('\n', lines));
        return path;
    }
}

using System.Text.Json;
using Mdm.Kernels;
using Mdm.Model.Configuration;
using Mdm.Model.Text;
using Mdm.Tensors;
using Mdm.Tests;

namespace Mdm.Model.Tests.Text;

public class CaptionTokenizerTests
{
    [Test]
    public void Captions_get_spaces_and_an_end()
    {
        CaptionTokenizer tokenizer = Make();
        Assert.That(tokenizer.EncodeCaption("ab", out int[] tokens), Is.EqualTo(CaptionFate.Kept));
        Assert.That(tokens, Is.EqualTo(Ids(" ab ", end: true)));
        Assert.That(tokenizer.EncodePrompt("ab", out string? warning), Is.EqualTo(Ids(" ab", end: true)));
        Assert.That(warning, Is.Null);
        CaptionTokenizer bare = Make(c => (c.PrepadCaptionWithSpace, c.AppendEos) = (false, false));
        Assert.That(bare.EncodePrompt("ab", out _), Is.EqualTo(Ids("ab", end: false)));
    }

    [Test]
    public void Long_captions_are_dropped_and_long_prompts_cut()
    {
        CaptionTokenizer tokenizer = Make(c => (c.MaxCaptionLength, c.MaxTokenLength) = (6, 5));
        Assert.That(tokenizer.EncodeCaption("abcdefg", out _), Is.EqualTo(CaptionFate.TooManyCharacters));
        Assert.That(tokenizer.EncodeCaption("abc", out _), Is.EqualTo(CaptionFate.TooManyTokens));
        Assert.That(tokenizer.EncodeCaption("ab", out int[] kept), Is.EqualTo(CaptionFate.Kept));
        Assert.That(kept, Has.Length.EqualTo(5));
        Assert.That(tokenizer.EncodePrompt("abcdefghi", out string? warning), Is.EqualTo(Ids(" abcd", end: false)));
        Assert.That(warning, Does.Contain("tokens, cut to 5"));
        Assert.That(tokenizer.EncodePrompt(new string('a', 100_000), out _), Has.Length.EqualTo(5));
    }

    [Test]
    public void Characters_are_code_points()
    {
        CaptionTokenizer tokenizer = Make(c => c.MaxCaptionLength = 2);
        Assert.That(tokenizer.EncodeCaption("\U0001F600b", out _), Is.EqualTo(CaptionFate.Kept));
        Assert.That(tokenizer.EncodePrompt("\U0001F600bcd", out _), Is.EqualTo(Ids(" b", end: true)));
    }

    [TestCase("")]
    [TestCase("   ")]
    [TestCase("\u6f22\u5b57")]
    public void A_prompt_that_says_nothing_is_unconditional_with_a_warning(string prompt)
    {
        CaptionTokenizer tokenizer = Make();
        int[] tokens = tokenizer.EncodePrompt(prompt, out string? warning);
        Assert.That(warning, Is.Not.Null);
        if (prompt.Trim().Length > 0 || prompt.Length == 0)
            Assert.That(tokens, Is.EqualTo(tokenizer.Empty));
    }

    [Test]
    public void Tokens_are_padded_to_the_longest_or_to_the_length_given()
    {
        PaddedTokens padded = PaddedTokens.From([[5, 6, 1], [1]], 0, 0);
        Assert.That(padded.Ids, Is.EqualTo(new[] { 5, 6, 1, 1, 0, 0 }));
        Assert.That(padded.Mask, Is.EqualTo(new[] { 1f, 1, 1, 1, 0, 0 }));
        Assert.That(PaddedTokens.From([[5, 6, 1], [1]], 0, 5).Ids, Is.EqualTo(new[] { 5, 6, 1, 0, 0, 1, 0, 0, 0, 0 }));
        Assert.That(Make(c => (c.MaxTokenLength, c.PadToMaxLength) = (9, true)).PaddedLength, Is.EqualTo(9));
        Assert.That(Make(c => c.MaxTokenLength = 9).PaddedLength, Is.Zero);
    }

    [TestCase("mdm_small.vocab")]
    [TestCase("mdm_t5.vocab")]
    public void Recorded_prompts_get_the_recorded_tokens(string vocabulary)
    {
        using JsonDocument cases = JsonDocument.Parse(File.ReadAllText(GoldenFiles.Require("text/mdm_cases.json")));
        VocabTokenizer tokens = VocabTokenizer.Load(GoldenFiles.Require($"text/{vocabulary}"));
        int tried = 0;
        foreach (JsonElement recorded in cases.RootElement.GetProperty(vocabulary).GetProperty("process_text").EnumerateArray())
        {
            JsonElement settings = recorded.GetProperty("config");
            bool Flag(string name) => settings.GetProperty(name).GetBoolean();
            var config = new ReaderConfig
            {
                MaxCaptionLength = settings.GetProperty("max_caption_length").GetInt32(),
                MaxTokenLength = settings.GetProperty("max_token_length").GetInt32(),
                AppendEos = Flag("append_eos"),
                PrepadBos = Flag("prepad_bos"),
                PadToMaxLength = Flag("pad_to_max_length"),
                PrepadCaptionWithSpace = Flag("prepad_caption_with_space"),
            };
            Assert.That(Flag("use_tokenizer_scores"));
            // Without a limit the original cuts off the last column, a mistake.
            if (config.MaxTokenLength < 0)
                continue;
            var tokenizer = new CaptionTokenizer(tokens, config);
            string[] prompts = recorded.GetProperty("texts").EnumerateArray().Select(t => t.GetString()!).ToArray();
            int[][] encoded = prompts.Select(prompt => tokenizer.EncodePrompt(prompt, out _)).ToArray();
            int[] expected = recorded.GetProperty("tokens").EnumerateArray()
                .SelectMany(row => row.EnumerateArray().Select(id => id.GetInt32())).ToArray();
            Assert.That(PaddedTokens.From(encoded, tokenizer.Padding, tokenizer.PaddedLength).Ids, Is.EqualTo(expected));
            tried++;
        }

        Assert.That(tried, Is.EqualTo(9));
    }

    [Test]
    public void A_beginning_needs_a_token()
    {
        Assert.That(() => Make(c => c.PrepadBos = true), Throws.TypeOf<MdmException>().With.Message.Contains("prepad_bos"));
        foreach (string file in (string[])["sp_t5/spiece.model", "sp_t5/tokenizer.json"])
        {
            var captions = new CaptionTokenizer(Tokenizers.Open(RecordedTexts.Path(file)), new ReaderConfig { PrepadBos = true });
            Assert.That(captions.Empty, Is.EqualTo(new[] { 2, 1 }));
            Assert.That(captions.EncodePrompt("a red circle", out _), Is.EqualTo(new[] { 2, 7, 101, 111, 1 }));
        }
    }

    [TestCase(true)]
    [TestCase(false)]
    public void Scores_count_where_the_configuration_says_so(bool useScores)
    {
        // "abab" is cheaper in two pieces, and shorter in one.
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder["v.vocab"], "<pad>\t0\n</s>\t0\n<unk>\t0\nab\t-1\nabab\t-5\n");
        var config = new ProgramConfig { TextModel = ProgramConfig.WordsTextModel, TextDim = 16, VocabFile = folder["v.vocab"] };
        config.ReaderConfig.UseTokenizerScores = useScores;
        int[] expected = useScores ? [3, 3] : [4];
        using ITextModel made = TextModels.Create(config, Devices.Open("cpu"))!;
        made.Save(folder.Path);
        using ITextModel loaded = TextModels.Load(folder.Path, Devices.Open("cpu"), config)!;
        Assert.That(made.Tokenizer.Encode("abab"), Is.EqualTo(expected));
        Assert.That(loaded.Tokenizer.Encode("abab"), Is.EqualTo(expected));
    }

    private static CaptionTokenizer Make(Action<ReaderConfig>? change = null)
    {
        var config = new ReaderConfig();
        change?.Invoke(config);
        return new CaptionTokenizer(new Letters(), config);
    }

    private static int[] Ids(string text, bool end) => [.. text.Select(c => (int)c), .. end ? [1] : Array.Empty<int>()];

    /// <summary>ASCII characters are tokens.</summary>
    private sealed class Letters : ITokenizer
    {
        public int Size => 128;

        public int PadId => 0;

        public int EndId => 1;

        public int? UnknownId => null;

        public bool HasMeaning(int token) => token != ' ';

        public int[] Encode(string text) => text.Where(char.IsAscii).Select(c => (int)c).ToArray();
    }
}

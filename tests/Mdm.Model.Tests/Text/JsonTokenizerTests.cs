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

    // Ids: 0 <pad>, 1 </s>, 2 <unk>, 3 _, 4 a, 5 b, 6 _a, 7 _b, 8 ab, 9 A; added tokens from 10.
    private const string Vocabulary = "'model':{'type':'Unigram','unk_id':2,'vocab':[['<pad>',0],['</s>',0],['<unk>',0],"
        + "['_',-2],['a',-1],['b',-1],['_a',-1],['_b',-1],['ab',-1.5],['A',-1]]}";

    private const string Mark = "'replacement':'_'";

    [TestCase("'pre_tokenizer':null", "ab a", new[] { 8, 2, 4 })]
    [TestCase("'pre_tokenizer':{'type':'WhitespaceSplit'}", " ab\u0085a ", new[] { 8, 4 })]
    [TestCase("'pre_tokenizer':{'type':'Metaspace'," + Mark + "}", "a b", new[] { 6, 7 })]
    [TestCase("'pre_tokenizer':{'type':'Metaspace'," + Mark + "}", " a  b ", new[] { 6, 3, 7, 3 })]
    [TestCase("'pre_tokenizer':{'type':'Metaspace'," + Mark + ",'add_prefix_space':false}", "a b", new[] { 4, 7 })]
    [TestCase("'pre_tokenizer':{'type':'Metaspace'," + Mark + ",'prepend_scheme':'never'}", "a b", new[] { 4, 7 })]
    [TestCase("'pre_tokenizer':{'type':'Metaspace'," + Mark + ",'prepend_scheme':'first'}", "a</s>a", new[] { 6, 1, 4 })]
    [TestCase("'pre_tokenizer':{'type':'Metaspace'," + Mark + ",'prepend_scheme':'always'}", "a</s>a", new[] { 6, 1, 6 })]
    [TestCase("'pre_tokenizer':{'type':'Sequence','pretokenizers':[{'type':'WhitespaceSplit'},{'type':'Metaspace'," + Mark + "}]}",
        " a\t b", new[] { 6, 7 })]
    [TestCase("'normalizer':{'type':'Strip'}", "  ab  ", new[] { 8 })]
    [TestCase("'normalizer':{'type':'Strip','strip_left':false}", " ab ", new[] { 2, 8 })]
    [TestCase("'normalizer':{'type':'Strip','strip_right':false}", " ab ", new[] { 8, 2 })]
    [TestCase("'normalizer':{'type':'Lowercase'}", "AB", new[] { 8 })]
    [TestCase("'normalizer':{'type':'Prepend','prepend':'_'}", "a</s></s>a", new[] { 6, 1, 1, 6 })]
    [TestCase("'normalizer':{'type':'Replace','pattern':{'String':'.'},'content':'b'}", "a.", new[] { 8 })]
    [TestCase("'normalizer':{'type':'Replace','pattern':{'Regex':'[x-z]+'},'content':'$0b'}", "axyz", new[] { 4, 2, 5 })]
    [TestCase("'normalizer':{'type':'Sequence','normalizers':[{'type':'NFD'},{'type':'StripAccents'}]}", "\u00E0b", new[] { 8 })]
    [TestCase("'normalizer':{'type':'Sequence','normalizers':[{'type':'NFKC'},{'type':'Lowercase'}]}", "\uFF21\uFF42", new[] { 8 })]
    [TestCase("'normalizer':{'type':'Nmt'},'pre_tokenizer':{'type':'WhitespaceSplit'}", "a\u0001\u200Bb\u0002b", new[] { 4, 5, 5 })]
    [TestCase("'post_processor':{'type':'TemplateProcessing'},'truncation':{'max_length':1}", "aa", new[] { 4, 4 })]
    public void Every_part_of_a_file_works(string part, string text, int[] expected) =>
        Assert.That(Made(part + ",'added_tokens':[{'id':1,'content':'</s>','normalized':false}]").Encode(text), Is.EqualTo(expected));

    [TestCase("{}", "a<x>b <x> a", new[] { 4, 10, 5, 2, 10, 2, 4 })]
    [TestCase("{'lstrip':true}", "a  <x> <x> a", new[] { 4, 10, 10, 2, 4 })]
    [TestCase("{'rstrip':true}", "a <x>  a", new[] { 4, 2, 10, 4 })]
    [TestCase("{'single_word':true}", "a<x> <x>b <x>", new[] { 4, 2, 5, 2, 10 }, Description = "<, x, > are unknown and join")]
    [TestCase("{'normalized':true}", "a\uFF1Cx\uFF1E", new[] { 4, 10 })]
    [TestCase("{'normalized':false}", "a\uFF1Cx\uFF1E", new[] { 4, 2 })]
    [TestCase("{}", "<x>>", new[] { 11 }, Description = "the longest")]
    [TestCase("{}", "<<x>", new[] { 2, 10 }, Description = "the leftmost")]
    public void Added_tokens_are_cut_out(string flags, string text, int[] expected)
    {
        string token = "{'id':10,'content':'<x>'" + (flags == "{}" ? "" : ",") + flags[1..];
        JsonTokenizer tokenizer = Made("'normalizer':{'type':'NFKC'},'added_tokens':[" + token + ",{'id':11,'content':'<x>>'}]");
        Assert.That(tokenizer.Encode(text), Is.EqualTo(expected));
        Assert.That(tokenizer.Size, Is.EqualTo(12));
    }

    [Test]
    public void Without_an_id_for_it_unknown_text_is_left_out()
    {
        string path = Write("'model':{'type':'Unigram','unk_id':null,'vocab':[['<pad>',0],['</s>',0],['a',-1]]}");
        Assert.That(JsonTokenizer.Load(path).Encode("xaxxa"), Is.EqualTo(new[] { 2, 2 }));
    }

    private static JsonTokenizer Made(string parts) => JsonTokenizer.Load(Write(parts + "," + Vocabulary));

    private static string Write(string content)
    {
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, "made.json");
        File.WriteAllText(path, "{" + content.Replace('\'', '"') + "}");
        return path;
    }
}
